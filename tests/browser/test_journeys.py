"""What people do, in a real browser with a real worker: start, watch, be refused, cancel, come back."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from bulkops import services
from bulkops.models import Job
from bulkops.states import JobState
from tests.clusters import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.browser.conftest import Silence

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

expect.set_options(timeout=20_000)


def start_button(page: Page) -> Any:
    """“Start”, or after a preview “Start: 3 items will be processed”."""
    return page.get_by_role("button", name=re.compile("^Start(:|$)"))


def start_deposit(page: Page, pause: float) -> None:
    page.get_by_label("Amount").fill("5")
    page.get_by_label("Pause").fill(str(pause))
    start_button(page).click()
    page.wait_for_url(re.compile(r"/jobs/[0-9a-f-]{36}/"))


def test_a_bar_grows_and_ends_and_the_start_button_comes_back_in_every_tab(
    tab: Callable[..., Page], cluster: Any, accounts: Callable[[int], None], hurry: Callable[[], None]
) -> None:
    accounts(1_000)
    first, other = tab("/operations/slow-deposit/"), tab("/operations/rows/")
    expect(start_button(other)).to_be_enabled()
    above = other.get_by_text("cannot be started just now")
    expect(above).to_be_hidden()
    start_deposit(first, 0.05)

    expect(start_button(other)).to_be_disabled()
    expect(above).to_be_visible()
    expect(other.locator("#why-not")).to_contain_text("one at a time")

    bar = first.get_by_role("progressbar")
    seen: set[str | None] = set()
    titles: set[str] = set()

    def seen_enough() -> bool:
        seen.add(bar.get_attribute("value"))
        titles.add(first.title())
        return len(seen) >= 5 and any(re.match(r"[1-9]\d? % · Slow deposit", title) for title in titles)

    wait_for(seen_enough, 30, "a bar that grows, in the title too")
    hurry()
    expect(first.get_by_role("heading", name="Completed", exact=True)).to_be_visible()
    expect(bar).to_have_attribute("value", "1000")
    assert first.title() == "Completed · Slow deposit"
    expect(first.get_by_text("You can close this page")).to_have_count(0)
    expect(first.get_by_role("button", name="Pause")).to_have_count(0)
    expect(first.get_by_role("link", name="Run again")).to_be_visible()
    expect(first.get_by_role("heading", level=1)).to_have_count(1)
    expect(start_button(other)).to_be_enabled()
    expect(above).to_be_hidden()

    polls: list[str] = []
    first.on("request", lambda request: polls.append(request.url))
    first.wait_for_timeout(2_500)
    assert polls == []


def test_a_second_start_is_refused_with_the_running_job(
    tab: Callable[..., Page], cluster: Any, accounts: Callable[[int], None], silence: Silence
) -> None:
    accounts(1_000)
    stale = tab("/operations/rows/")
    stale.route("**/active/**", lambda route: route.abort())
    start_deposit(tab("/operations/deposit/"), 0.1)
    stale.get_by_label("Paste the items").fill("number\n1")
    start_button(stale).click()
    expect(stale.get_by_role("alert")).to_contain_text("you already have an active job")
    expect(stale.get_by_role("progressbar")).to_be_visible()
    expect(stale.get_by_label("Paste the items")).to_have_value("number\n1")
    expect(start_button(stale)).to_be_disabled()
    assert Job.objects.count() == 1

    stale.get_by_text("Cancel …").click()
    stale.get_by_label("Reason").fill("I need the other one")
    stale.get_by_role("button", name="Cancel this job").click()
    expect(stale.get_by_role("heading", name="Cancelled", exact=True)).to_be_visible()
    expect(stale.get_by_text("Reason for cancelling: I need the other one")).to_be_visible()
    silence.expect_refusal(409)
    silence.forgive_lost_requests()


def test_a_reason_half_typed_survives_the_polls(
    tab: Callable[..., Page], cluster: Any, accounts: Callable[[int], None]
) -> None:
    accounts(1_000)
    page = tab("/operations/deposit/")
    start_deposit(page, 0.1)
    page.get_by_text("Cancel …").click()
    reason = page.get_by_label("Reason")
    reason.press_sequentially("wrong season", delay=200)
    page.wait_for_timeout(6_500)
    expect(reason).to_be_focused()
    expect(reason).to_have_value("wrong season")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Reason for cancelling: wrong season")).to_be_visible()


def test_pause_and_resume_change_the_buttons_without_a_reload(
    tab: Callable[..., Page], cluster: Any, accounts: Callable[[int], None], hurry: Callable[[], None]
) -> None:
    accounts(1_000)
    page = tab("/operations/slow-deposit/")
    start_deposit(page, 0.05)
    watcher = tab(page.url.partition("/jobs/")[1] + page.url.partition("/jobs/")[2])
    page.get_by_role("button", name="Pause").click()
    expect(watcher.get_by_role("heading", name="Paused", exact=True)).to_be_visible()
    expect(watcher.get_by_role("button", name="Resume")).to_be_visible()
    expect(watcher.get_by_role("button", name="Pause")).to_have_count(0)
    hurry()
    watcher.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("heading", name="Completed", exact=True)).to_be_visible()


def test_the_first_page_takes_up_and_ends_a_job_without_a_reload(
    tab: Callable[..., Page], cluster: Any, accounts: Callable[[int], None], owner: Any, hurry: Callable[[], None]
) -> None:
    accounts(1_000)
    page = tab("/")
    services.submit(user=owner, operation="slow-deposit", params={"pause": 0.05}, name="From elsewhere")
    card = page.get_by_role("region", name="Progress of From elsewhere")
    expect(card.get_by_role("progressbar")).to_be_visible()
    hurry()
    expect(card.get_by_role("heading", name="Completed", exact=True)).to_be_visible()
    expect(page.locator("#history")).to_contain_text("1,000 of 1,000")


def test_polls_take_nothing_away_that_is_being_pressed(
    tab: Callable[..., Page], cluster: Any, accounts: Callable[[int], None], owner: Any
) -> None:
    accounts(1_000)
    job = services.submit(user=owner, operation="deposit", params={"pause": 0.05}, name="Long")
    page = tab("/")
    page.locator(".live-head a", has_text="Long").hover()
    page.mouse.down()
    with page.expect_response(lambda response: "/progress/" in response.url):
        pass
    with page.expect_response(lambda response: "/progress/" in response.url):
        pass  # by now the first one was swapped in
    page.mouse.up()
    page.wait_for_url(f"**{job.get_absolute_url()}")


def test_preview_then_start_with_an_upload(tab: Callable[..., Page], cluster: Any, tmp_path: Any) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("number,note\n" + "".join(f"{n},n{n}\n" for n in range(1, 1_201)))
    page = tab("/operations/rows/")
    page.get_by_label("Or upload a file").set_input_files(rows)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="1,200 items, ready to start")).to_be_visible()
    expect(page.get_by_role("cell", name="n5", exact=True)).to_be_visible()
    start_button(page).click()
    expect(page.get_by_role("heading", name="Completed", exact=True)).to_be_visible()
    assert Job.objects.get().total == 1_200


def test_an_export_with_headings_of_its_own_is_asked_about_and_read(
    tab: Callable[..., Page], cluster: Any, tmp_path: Any, silence: Silence
) -> None:
    export = tmp_path / "export.csv"
    export.write_bytes("Nummer;Note;Straße\n7;Zürich;Weg 1\n8;Köln;Weg 2\n".encode("cp1252"))
    page = tab("/operations/rows/")
    page.get_by_label("Or upload a file").set_input_files(export)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("alert").first).to_have_text(
        "Not all columns were found. Choose below which one is number."
    )
    page.get_by_label("Column for “Number”").select_option("Nummer")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="2 items, ready to start")).to_be_visible()
    expect(page.get_by_text("Read as Windows-1252, separated by semicolons.")).to_be_visible()
    expect(page.get_by_role("cell", name="Zürich", exact=True)).to_be_visible()
    start_button(page).click()
    expect(page.get_by_role("heading", name="Completed", exact=True)).to_be_visible()
    silence.expect_refusal(422)


def test_the_button_is_off_at_once_on_pressing(tab: Callable[..., Page], cluster: Any) -> None:
    page = tab("/operations/note/")
    page.get_by_label("Paste the items").fill("a")
    page.route("**/operations/note/", lambda route: (time.sleep(0.3), route.continue_()))
    pressed = page.evaluate(
        """() => new Promise((told) => {
          const button = document.querySelector('button[value=start]');
          button.addEventListener('click', () => setTimeout(() => told(button.matches(':disabled')), 50));
          button.click();
        })"""
    )
    assert pressed is True
    page.wait_for_url(re.compile("/jobs/"))


def test_a_session_that_ended_takes_the_tab_to_the_login(
    tab: Callable[..., Page], owner: Any, cluster: Any, accounts: Callable[[int], None]
) -> None:
    accounts(1_000)
    page = tab("/operations/deposit/")
    start_deposit(page, 0.1)
    job_url = page.url
    page.evaluate(
        "new MutationObserver(() => document.querySelector('.live input') && console.error('a form in it'))"
        ".observe(document.body, {childList: true, subtree: true})"
    )
    page.context.clear_cookies()
    page.wait_for_url(re.compile("/accounts/login/"))
    page.get_by_label("Username").fill("owner")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(job_url)


def test_everything_works_without_javascript(
    tab_without_script: Page, cluster: Any, accounts: Callable[[int], None]
) -> None:
    page = tab_without_script
    accounts(1_000)
    page.goto("/operations/rows/")
    page.get_by_label("Paste the items").fill("Nummer\n1\n2\n3")
    page.get_by_role("button", name="Preview").click()
    page.get_by_label("Column for “Number”").select_option("Nummer")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("heading", name="3 items, ready to start")).to_be_visible()
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("heading", name="Tried the first 3 items, and kept nothing")).to_be_visible()
    expect(page.get_by_text("succeeded")).to_have_count(3)
    start_button(page).click()
    expect(page.get_by_role("heading", name="Completed", exact=True)).to_be_visible()

    page.goto("/operations/deposit/")
    start_deposit(page, 0.1)
    expect(page.get_by_role("progressbar")).to_be_visible()
    # Between two looks the page loads itself again.
    expect(page.get_by_role("heading", name="Running", exact=True)).to_be_visible()
    page.get_by_text("Cancel …").click()
    page.get_by_role("link", name="Hold it").click()
    page.get_by_text("Cancel …").click()
    page.get_by_label("Reason").fill("seen enough")
    page.wait_for_timeout(2_500)  # longer than the page stays otherwise
    expect(page.get_by_label("Reason")).to_have_value("seen enough")
    page.get_by_role("button", name="Cancel this job").click()
    expect(page.get_by_role("heading", name="Cancelled", exact=True)).to_be_visible()
    assert Job.objects.get(operation="deposit").state == JobState.CANCELLED
