"""From the first page to a started job: the operation is found, the last run used again, the button says what."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from bulkops import item_values, services
from bulkops.clock import from_now
from bulkops.models import Cluster, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.conftest import Silence

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=20_000)


@pytest.fixture
def last_run(transactional_db: None, owner: Any) -> Job:
    """A deposit for two chosen accounts, over."""
    Cluster.objects.create(name="here", alive_until=from_now(3600), workers=1, queues=["default"])
    job = services.submit(user=owner, operation="deposit", params={"amount": 77}, items=[1, 2])
    services.cancel(job=job, actor=owner)
    return job


def use_it_again(page: Page, job: Job) -> None:
    """From the operation's card to a job over the same items."""
    page.locator(".tile").get_by_role("link", name="Deposit", exact=True).click()
    page.get_by_role("link", name="Use the parameters of the last run").click()
    expect(page.get_by_label("Amount")).to_have_value("77")
    expect(page.get_by_label("Take the same 2 items again")).to_be_checked()
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Start: 2 items will be processed").click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}/"))
    assert list(item_values.every(Job.objects.latest("created_at"))) == [1, 2]
    assert Job.objects.latest("created_at").pk != job.pk


def test_an_operation_is_found_as_one_types_and_run_again(tab: Callable[..., Page], last_run: Job) -> None:
    page = tab()
    expect(page.get_by_role("link", name="Rows", exact=True)).to_be_visible()
    page.get_by_label("Find an operation").press_sequentially("balance every")
    expect(page.get_by_role("link", name="Rows", exact=True)).to_have_count(0)
    expect(page.get_by_label("Find an operation")).to_be_focused()
    page.wait_for_url(re.compile(r"\?find=balance(%20|\+)every$"))
    expect(page.locator(".tile", has_text="cancelled, 2 items")).to_be_visible()
    use_it_again(page, last_run)
    page.go_back()
    page.goto("/?find=balance")
    page.get_by_label("Find an operation").fill("")
    expect(page.get_by_role("link", name="Rows", exact=True)).to_be_visible()


def test_the_same_works_without_script_on_the_narrowest_screen(tab_without_script: Page, last_run: Job) -> None:
    page = tab_without_script
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto("/")
    page.get_by_label("Find an operation").fill("balance")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("link", name="Rows", exact=True)).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    use_it_again(page, last_run)


def test_a_list_of_mistakes_leads_to_each_field(tab: Callable[..., Page], last_run: Job, silence: Silence) -> None:
    page = tab("/operations/deposit/")
    page.get_by_label("Amount").fill("")
    page.get_by_role("button", name="Preview").click()
    summary = page.get_by_role("alert").filter(has_text="Nothing was started")
    expect(summary).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Amount")).to_be_focused()
    silence.expect_refusal(422)
