"""Fixtures of the browser tests: people at their tabs, a console that must stay silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

PATIENCE_MS = 20_000


class Silence:
    """Collects what a console complains of; expected refusals are taken off the list by their status."""

    def __init__(self) -> None:
        self.complaints: list[str] = []

    def listen(self, page: Page) -> None:
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def expect_refusal(self, status: int) -> None:
        """The browser itself logs each 4xx that a script asked for."""
        refusals = [text for text in self.complaints if f"status of {status}" in text]
        assert refusals, f"no {status} in {self.complaints}"
        self.complaints = [text for text in self.complaints if text not in refusals]

    def forgive_lost_requests(self) -> None:
        """Of requests that the test itself cut off, browser and htmx complain rightly."""
        lost = ("ERR_FAILED", "htmx:sendError", "htmx:afterRequest")
        self.complaints = [text for text in self.complaints if not any(word in text for word in lost)]


@pytest.fixture
def silence() -> Iterator[Silence]:
    kept = Silence()
    yield kept
    assert kept.complaints == []


@pytest.fixture
def tab(browser: Browser, live_server: Any, owner: Any, silence: Silence) -> Iterator[Callable[..., Page]]:
    """Opens a tab of the owner, who logs in through the form the first time; `path` is where it goes."""
    context = browser.new_context(base_url=live_server.url)
    context.set_default_timeout(PATIENCE_MS)

    def open_tab(path: str = "/") -> Page:
        page = context.new_page()
        silence.listen(page)
        page.goto(path)
        if "/accounts/login/" in page.url:
            page.get_by_label("Username").fill("owner")
            page.get_by_label("Password").fill("secret")
            page.get_by_role("button", name="Log in").click()
            page.wait_for_url(f"{live_server.url}{path}")
        return page

    yield open_tab
    context.close()


@pytest.fixture
def tab_without_script(browser: Browser, live_server: Any, owner: Any) -> Iterator[Page]:
    """The owner's tab in a browser without JavaScript, logged in."""
    context = browser.new_context(base_url=live_server.url, java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/accounts/login/")
    page.get_by_label("Username").fill("owner")
    page.get_by_label("Password").fill("secret")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{live_server.url}/")
    yield page
    context.close()


@pytest.fixture
def accounts(transactional_db: None) -> Callable[[int], None]:
    """Makes so many accounts, which the operation “deposit” finds itself."""
    from tests.sample.models import Account

    def make(count: int) -> None:
        Account.objects.bulk_create([Account(number=number) for number in range(count)])

    return make


@pytest.fixture
def hurry(transactional_db: None) -> Callable[[], None]:
    """Says it: what is left of a “slow-deposit” is done at once. So no test depends on how long a job takes."""
    from tests.sample.models import Effect

    def say() -> None:
        Effect.objects.create(item="hurry")

    return say
