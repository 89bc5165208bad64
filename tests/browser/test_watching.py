"""Those who watch, in a real browser with a real worker: bars move in the admin and on the wall."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from bulkops import services
from tests.clusters import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

    from bulkops.models import Job
    from tests.browser.conftest import Silence

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=20_000)


@pytest.fixture
def watching(
    browser: Browser, live_server: Any, django_user_model: Any, silence: Silence
) -> Iterator[Callable[[str], Page]]:
    """Opens a tab of an operator who sees everything."""
    django_user_model.objects.create_superuser("operator", password="secret")
    context = browser.new_context(base_url=live_server.url)
    context.set_default_timeout(20_000)

    def open_tab(path: str) -> Page:
        page = context.new_page()
        silence.listen(page)
        page.goto(path)
        if "/accounts/login/" in page.url or "/admin/login/" in page.url:
            page.get_by_label("Username").fill("operator")
            page.get_by_label("Password").fill("secret")
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url(f"{live_server.url}{path}")
        return page

    yield open_tab
    context.close()


@pytest.fixture
def job(owner: Any, accounts: Callable[[int], None]) -> Job:
    """Runs until somebody says hurry."""
    accounts(1_000)
    params = {"amount": 1, "pause": 0.05}
    return services.submit(user=owner, operation="slow-deposit", params=params, name="Autumn")


def moves(bar: Any) -> None:
    """Wait until its value has grown twice."""
    seen: set[int] = set()

    def grown() -> bool:
        seen.add(int(float(bar.get_attribute("value") or 0)))
        return len(seen) >= 3

    wait_for(grown, 30, "a bar that moves")


def test_bars_move_in_the_admin_and_on_the_wall_until_the_job_ends(
    watching: Callable[[str], Page], cluster: Any, job: Job, hurry: Callable[[], None]
) -> None:
    rows = watching("/admin/bulkops/job/")
    wall = watching("/jobs/active/")
    board = watching("/admin/bulkops/job/dashboard/")
    ticked = rows.locator("input.action-select").first
    ticked.check()
    moves(rows.locator(f"#bar-{job.pk.hex} progress"))
    moves(wall.locator(f"#wall-bar-{job.pk.hex}"))
    expect(board.get_by_role("heading", name="All is well")).to_be_visible()
    expect(board.get_by_text("1 of 2")).to_have_count(2)
    moves(board.locator(f"#bar-{job.pk.hex} progress"))

    hurry()
    expect(rows.locator(f"#state-{job.pk.hex}")).to_have_text("completed")
    expect(rows.locator(f"#counts-{job.pk.hex}")).to_have_text("1,000 of 1,000")
    expect(ticked).to_be_checked()
    expect(wall.get_by_text("No job is active")).to_be_visible()
    expect(board.get_by_text("No job is active")).to_be_visible()
    expect(rows.locator("#job-live")).not_to_have_attribute("hx-get", re.compile("."))


def test_typing_in_the_search_narrows_the_list_and_the_back_button_widens_it_again(
    watching: Callable[[str], Page], live_server: Any, job: Job, stranger: Any
) -> None:
    services.submit(user=stranger, operation="note", items=["a"], name="Winter")
    page = watching("/jobs/?owner=all")
    names = page.locator(".row-name a")
    expect(names).to_have_text(["Winter", "Autumn"])
    page.get_by_label("Search").press_sequentially("aut")
    expect(names).to_have_text(["Autumn"])
    page.wait_for_url(f"{live_server.url}/jobs/?search=aut&owner=all")
    page.get_by_label("State").select_option("ended")
    expect(page.get_by_text("No job fits")).to_be_visible()
    page.go_back()
    expect(names).to_have_text(["Autumn"])
    expect(page.get_by_label("Search")).to_have_value("aut")
    page.go_back()
    expect(names).to_have_text(["Winter", "Autumn"])
