"""Somebody without a mouse: from the log-in to the finished job; the focus stays where it was or follows what is new.

What a screen reader is told is here too: it says each ten percent and the end, and no more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from bulkops import services
from bulkops.models import Chunk, Job
from tests.screenshots.opening import opened
from tests.screenshots.scenes import SCENES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

STOPS = 80
"""More presses of Tab than any page here has stops."""
SEEN = """() => {
  const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
  return one === document.body || (box.width > 1 && box.height > 1 && style.outlineStyle !== 'none'
    && parseFloat(style.outlineWidth) >= 1.5);
}"""


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus; each stop on the way can be seen."""
    for _ in range(STOPS):
        page.keyboard.press("Tab")
        assert page.evaluate(SEEN), page.evaluate("document.activeElement.outerHTML")
        if wanted.evaluate("one => one === document.activeElement"):
            return
    raise AssertionError(f"Tab does not reach {wanted}")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def test_the_keyboard_alone_leads_from_the_log_in_to_the_finished_job(
    browser: Browser, live_server: Any, owner: Any, cluster: Any
) -> None:
    context = browser.new_context(base_url=live_server.url)
    context.set_default_timeout(20_000)
    page = context.new_page()
    page.goto("/")
    expect(page.locator("[name=username]")).to_be_focused()
    page.keyboard.type("owner")
    page.keyboard.press("Tab")
    page.keyboard.type("secret")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{live_server.url}/")

    tab_to(page, page.get_by_role("link", name="Skip to the content"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("link", name=re.compile("^Rows")))
    page.keyboard.press("Enter")
    page.wait_for_url("**/operations/rows/")

    tab_to(page, button(page, "Preview"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Nothing was started: look at what is marked")).to_be_focused()
    tab_to(page, page.get_by_label("Paste the items"))
    page.keyboard.type("number\n1\n2")
    tab_to(page, button(page, "Try it"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="2 items, ready to start")).to_be_focused()
    tab_to(page, button(page, "Change it"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Rows", exact=True)).to_be_focused()
    tab_to(page, button(page, "Start"))
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Completed", exact=True)).to_be_visible()
    tab_to(page, page.get_by_role("link", name="All items"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("cell", name="succeeded")).to_have_count(2)
    context.close()


def test_the_focus_and_what_is_typed_outlive_the_polls_of_a_job_that_changes(
    browser: Browser, live_server: Any
) -> None:
    with opened(SCENES["job-running"], browser, live_server.url) as page:
        job = Job.objects.get()
        report = page.get_by_role("link", name="every item")
        report.focus()
        page.get_by_text("Cancel …").click()
        reason = page.get_by_label("Reason")
        reason.fill("wrong sea")
        services.pause(job=job, actor=job.owner, reason="Lunch")
        expect(button(page, "Resume")).to_be_visible()
        expect(page.get_by_role("heading", name="Paused: Lunch")).to_be_visible()
        expect(reason).to_be_focused()
        page.keyboard.type("son")
        expect(reason).to_have_value("wrong season")

        report.focus()
        with page.expect_response(lambda answer: "/details/" in answer.url and answer.status == 200):
            services.resume(job=job, actor=job.owner)
        expect(button(page, "Pause")).to_be_visible()
        expect(page.locator(".timeline")).to_contain_text("Resumed")
        expect(report).to_be_focused()


def test_tab_goes_from_top_to_bottom_through_the_buttons_and_what_cancel_has_opened(
    browser: Browser, live_server: Any
) -> None:
    with opened(SCENES["job-running"], browser, live_server.url) as page:
        page.get_by_text("Cancel …").click()
        page.locator("h1").evaluate("one => { one.tabIndex = -1; one.focus(); }")
        tops: list[float] = []
        tab_to(page, button(page, "Pause"))
        while page.evaluate("document.activeElement.closest('.controls') !== null"):
            tops.append(page.evaluate("document.activeElement.getBoundingClientRect().top + scrollY"))
            page.keyboard.press("Tab")
        assert len(tops) > 3
        assert tops == sorted(tops)


def test_the_status_is_spoken_at_each_ten_percent_and_at_the_end(browser: Browser, live_server: Any) -> None:
    with opened(SCENES["job-running"], browser, live_server.url) as page:
        job = Job.objects.get()
        page.evaluate(
            """() => {
              window.spoken = [];
              const status = document.querySelector('[role=status]');
              new MutationObserver(() => window.spoken.push(status.textContent))
                .observe(status, {childList: true, characterData: true, subtree: true});
            }"""
        )
        bar = page.get_by_role("progressbar")
        for percent in (43, 48, 51, 56, 73):
            count = 48_210 * percent // 100 + 1
            Chunk.objects.filter(job=job).update(cursor=count, succeeded=count, failed=0, skipped=0)
            expect(bar).to_have_attribute("value", str(count))
        services.cancel(job=job, actor=job.owner)
        expect(page.get_by_role("heading", name="Cancelled", exact=True)).to_be_visible()
        assert page.evaluate("window.spoken") == [
            "Reprice tickets: Running, 50 percent",
            "Reprice tickets: Running, 70 percent",
            "Reprice tickets: Cancelled",
        ]


@pytest.mark.parametrize("name", ["job-running", "job-preparing", "home-running"])
def test_nothing_moves_for_whoever_wants_less_motion(name: str, browser: Browser, live_server: Any) -> None:
    def moving(page: Page) -> list[str]:
        return page.evaluate(
            """document.getAnimations().filter((one) => one.playState === 'running')
              .map((one) => one.animationName || one.transitionProperty).filter((one) => one !== 'reveal')"""
        )

    with opened(SCENES[name], browser, live_server.url) as page:
        assert moving(page) == []
        page.emulate_media(reduced_motion="no-preference")
        assert moving(page) != []
