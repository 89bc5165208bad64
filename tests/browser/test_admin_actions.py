"""An operator in the admin, in a real browser: choose tickets over many pages, change their price, watch the job."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.db.models import Max, Min
from playwright.sync_api import expect

from bulkops.models import Job
from bulkops.states import JobState
from tests.clusters import wait_for
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from tests.browser.conftest import Silence

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=20_000)

TICKETS = 1_234
JOB = re.compile(r"/jobs/[0-9a-f-]{36}/")


@pytest.fixture
def event(transactional_db: None, django_user_model: Any) -> Event:
    """With tickets for a dozen pages of the list, of which the operator may see all."""
    django_user_model.objects.create_superuser("operator", password="secret")
    starts_at = datetime(2027, 3, 6, 19, 30, tzinfo=UTC)
    aurora = Event.objects.create(name="Aurora Strings", venue="Old Customs House", starts_at=starts_at)
    other = Event.objects.create(name="Blue Hour Trio", venue="Harbour Cellar", starts_at=starts_at)
    Ticket.objects.bulk_create(
        Ticket(event=one, code=f"{prefix}-{n:05}", seat=f"1-{n}", price=1_000)
        for one, prefix, count in ((aurora, "AUR", TICKETS), (other, "BLU", 150))
        for n in range(1, count + 1)
    )
    return aurora


@pytest.fixture
def open_list(browser: Browser, live_server: Any, event: Event, silence: Silence) -> Iterator[Callable[..., Page]]:
    """Opens the event's tickets in the admin, as its operator, with JavaScript or without."""
    contexts = []

    def opened(*, script: bool = True) -> Page:
        context = browser.new_context(base_url=live_server.url, java_script_enabled=script)
        contexts.append(context)
        context.set_default_timeout(20_000)
        page = context.new_page()
        silence.listen(page)
        page.goto(f"/admin/login/?next=/admin/ticketing/ticket/?event__id__exact={event.pk}")
        page.get_by_label("Username").fill("operator")
        page.get_by_label("Password").fill("secret")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("heading", name="Select ticket to change")).to_be_visible()
        return page

    yield opened
    for context in contexts:
        context.close()


def choose(page: Page, action: str = "Reprice tickets…") -> None:
    page.get_by_label("Action:").select_option(label=action)
    page.get_by_role("button", name=re.compile("^(Go|Run)")).click()


def background(page: Page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_all_tickets_over_many_pages_change_their_price(
    open_list: Callable[..., Page], cluster: Any, silence: Silence
) -> None:
    page = open_list()
    page.locator("#action-toggle").check()
    page.get_by_text("Select all 1234 tickets").click()
    choose(page)
    expect(page.get_by_text("1,234 tickets will be changed:")).to_be_visible()
    expect(page.get_by_role("heading", name="Reprice tickets")).to_be_visible()
    light = background(page)
    page.emulate_media(color_scheme="dark")
    assert (light, background(page)) == ("rgb(255, 255, 255)", "rgb(18, 18, 18)")

    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("This field is required.")).to_be_visible()
    page.get_by_label("Cents").fill("5")
    page.get_by_role("button", name="Start").dblclick(no_wait_after=True)
    page.wait_for_url(JOB)
    expect(page.get_by_text("Started for 1,234 tickets.").or_(page.get_by_text("sent already"))).to_be_visible()
    expect(page.get_by_role("heading", name="Completed", exact=True)).to_be_visible()
    silence.expect_refusal(422)

    job = Job.objects.get()
    assert (job.state, job.total) == (JobState.COMPLETED, TICKETS)
    changed = Ticket.objects.filter(event__name="Aurora Strings").aggregate(Min("price"), Max("price"))
    assert changed == {"price__min": 1_005, "price__max": 1_005}
    assert not Ticket.objects.exclude(event__name="Aurora Strings").exclude(price=1_000).exists()


def test_ticked_rows_need_no_javascript(open_list: Callable[..., Page], cluster: Any) -> None:
    page = open_list(script=False)
    boxes = page.locator("input.action-select")
    boxes.nth(0).check()
    boxes.nth(2).check()
    choose(page)
    expect(page.get_by_text("2 tickets will be changed:")).to_be_visible()
    page.get_by_label("Cents").fill("7")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url(JOB)
    wait_for(lambda: Job.objects.get().state == JobState.COMPLETED, 20)
    assert list(Ticket.objects.filter(price=1_007).values_list("code", flat=True)) == ["AUR-00001", "AUR-00003"]
