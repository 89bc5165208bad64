"""Every page in every state, in a real browser: usable by everybody, silent, at home, and under a strict policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.screenshots.opening import new_tab, opened, shown
from tests.screenshots.scenes import SCENES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Response

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
EXCUSED = {"database-away": ["meta-refresh"]}
"""That page loads itself again, as it says; there is nothing on it to lose, and nothing else to come for."""
BY_COLOUR = ("color-contrast", "link-in-text-block")
BY_WIDTH = ("target-size", "scrollable-region-focusable", "empty-table-header", "label")
NARROW = 320
LOOSE = ("unsafe-inline", "unsafe-eval", "unsafe-hashes", "*", "http:", "https:", "blob:")
OURS = [name for name, scene in SCENES.items() if scene.ours]


class Ear:
    """What a page complains of, asks of others, and is allowed."""

    def __init__(self, home: str, page: Page) -> None:
        self.home = home
        self.page = page
        self.forget()
        page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("response", self._note)

    def forget(self) -> None:
        """Begin anew, with another page."""
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.policies: dict[str, str] = {}

    def _note(self, response: Response) -> None:
        address = response.url
        if not address.startswith((self.home, "data:")):
            self.strangers.append(address)
        elif response.headers.get("content-type", "").startswith("text/html"):
            self.policies[address] = response.headers.get("content-security-policy", "")

    def errors(self) -> list[str]:
        """Without what the browser says of every answer that is no success, and of polls that a scene cuts off."""
        expected = (
            "Failed to load resource",
            "htmx:sendError",
            "htmx:afterRequest",
            "htmx:responseError",
            "Response Status Error",
            # The mark of its maker, below ReDoc's list; the policy keeps the viewer from fetching it.
            "Loading the image 'https://cdn.redoc.ly/",
        )
        return [text for text in self.complaints if not text.startswith(expected)]


@pytest.fixture(scope="module")
def tab(browser: Browser, live_server: Any) -> Iterator[Ear]:
    """One for all pages, with an ear at it."""
    page = new_tab(browser, live_server.url)
    yield Ear(live_server.url, page)
    page.context.close()


@pytest.fixture
def ear(tab: Ear) -> Ear:
    """That has heard nothing yet."""
    tab.forget()
    return tab


def violations(page: Page, *rules: str) -> list[str]:
    """What axe finds by those rules, or by all. The library is put into the page once, which is what takes longest."""
    only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": STANDARDS}
    options = {"runOnly": only, "resultTypes": ["violations"]}
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    found: list[Any] = page.evaluate("async (options) => (await axe.run(options)).violations", options)
    return [f"{one['id']}: {node['html'][:160]} {node['failureSummary']}" for one in found for node in one["nodes"]]


def overflow(page: Page) -> list[str]:
    """What sticks out of the page to the right."""
    found: list[str] = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
          [...document.querySelectorAll('body *')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1)
            .map((one) => one.outerHTML.slice(0, 120))"""
    )
    return found


def overlapping(page: Page) -> list[str]:
    """Texts that lie one over another, by more than the few pixels that two lines' boxes share."""
    found: list[str] = page.evaluate(
        """() => {
          const cut = (box, one) => {
            if (!one || one === document.body) return box;
            const frame = getComputedStyle(one).overflow === 'visible' ? box : one.getBoundingClientRect();
            return cut({left: Math.max(box.left, frame.left), right: Math.min(box.right, frame.right),
                        top: Math.max(box.top, frame.top), bottom: Math.min(box.bottom, frame.bottom)},
                       one.parentElement);
          };
          const texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
          for (let node = walker.nextNode(); node; node = walker.nextNode()) {
            const range = document.createRange();
            range.selectNodeContents(node);
            const seen = node.parentElement.checkVisibility({opacityProperty: true, visibilityProperty: true});
            if (node.data.trim() && seen && !node.parentElement.closest('.unseen, noscript, script'))
              for (const box of range.getClientRects())
                texts.push({node, said: node.data.trim().slice(0, 40), box: cut(box, node.parentElement)});
          }
          return texts.flatMap(({node, said, box}, index) => texts.slice(index + 1).filter((other) =>
            other.node !== node &&
            Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left) > 4 &&
            Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top) > 6
          ).map((other) => said + ' / ' + other.said));
        }"""
    )
    return found


def loose(policies: dict[str, str], *, but: tuple[str, ...] = ()) -> list[str]:
    """Sources in a policy that anybody could use; a page without a policy counts too."""
    found = [address for address, policy in policies.items() if "default-src" not in policy]
    for address, policy in policies.items():
        for directive in policy.split(";"):
            name, *sources = directive.split()
            found += [f"{address}: {name} {one}" for one in sources if one.strip("'") in LOOSE and name not in but]
    return found


@pytest.mark.parametrize("name", OURS)
def test_a_page_is_usable_by_everybody_light_and_dark_wide_and_narrow(name: str, ear: Ear) -> None:
    with shown(SCENES[name], ear.page, ear.home) as page:
        assert [one for one in violations(page) if one.partition(":")[0] not in EXCUSED.get(name, ())] == []
        page.emulate_media(color_scheme="dark")
        assert violations(page, *BY_COLOUR) == []
        assert overlapping(page) == []
        page.set_viewport_size({"width": NARROW, "height": 640})
        assert overflow(page) == []
        assert overlapping(page) == []
        assert violations(page, *BY_WIDTH) == []
        assert page.title() != ""
    assert ear.errors() == []
    assert ear.strangers == []
    assert loose(ear.policies) == []


@pytest.mark.parametrize("name", sorted(set(SCENES) - set(OURS)))
def test_a_packaged_page_stays_at_home_and_under_the_policy(name: str, ear: Ear) -> None:
    """What Django's admin and the API's viewers draw is theirs; where they load it from, and what may run, is ours."""
    with shown(SCENES[name], ear.page, ear.home):
        pass
    assert ear.errors() == []
    assert ear.strangers == []
    # The viewers of the API style themselves while they run.
    assert loose(ear.policies, but=("style-src",) if name.startswith("api-") else ()) == []


def test_on_a_laptop_no_column_of_the_admins_list_of_jobs_is_cut_off(browser: Browser, live_server: Any) -> None:
    with opened(SCENES["admin-jobs"], browser, live_server.url) as page:
        for width in (1024, 1100, 1200, 1280, 1366):
            page.set_viewport_size({"width": width, "height": 768})
            widths = page.locator("#changelist .results").evaluate("(one) => [one.scrollWidth, one.clientWidth]")
            assert widths[0] <= widths[1], width


def test_on_a_laptop_a_jobs_long_name_and_the_admins_buttons_are_apart(browser: Browser, live_server: Any) -> None:
    with opened(SCENES["admin-job"], browser, live_server.url) as page:
        page.set_viewport_size({"width": 1366, "height": 768})
        assert overlapping(page) == []


@pytest.mark.parametrize("name", ["webhooks", "webhook", "tokens", "items"])
def test_a_list_of_known_columns_hides_none_on_the_narrowest_screen(
    name: str, browser: Browser, live_server: Any
) -> None:
    with opened(SCENES[name], browser, live_server.url) as page:
        page.set_viewport_size({"width": NARROW, "height": 640})
        hidden = page.locator("main .scroll").evaluate_all(
            "(all) => all.map((one) => one.scrollWidth - one.clientWidth)"
        )
        assert hidden
        assert max(hidden) <= 0
