"""Opens a scene in a browser: its people logged in, its rows written, what is done there done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.conf import settings
from django.test import Client

from tests.screenshots.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page, Response, ViewportSize

    from tests.screenshots.scenes import Scene


VIEWPORT: ViewportSize = {"width": 1200, "height": 800}


def new_tab(browser: Browser, base_url: str) -> Page:
    """A tab in a context of its own, as scenes are looked at."""
    context = browser.new_context(base_url=base_url, viewport=VIEWPORT, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    return context.new_page()


@contextmanager
def opened(
    scene: Scene, browser: Browser, base_url: str, listen: Callable[[Page], None] = lambda page: None
) -> Iterator[Page]:
    """A page that shows the scene; `listen` is called before anything is loaded."""
    page = new_tab(browser, base_url)
    listen(page)
    try:
        with shown(scene, page, base_url):
            yield page
    finally:
        page.context.close()


@contextmanager
def shown(scene: Scene, page: Page, base_url: str) -> Iterator[Page]:
    """Shows the scene in that tab, which may show another one afterwards: a new tab each time takes half a second."""
    stage = Stage()
    page.context.clear_cookies()
    page.set_viewport_size(VIEWPORT)
    page.emulate_media(color_scheme="light")
    try:
        if scene.who:
            person = stage.owner if scene.who == "owner" else stage.person("operator", rights=(), superuser=True)
            client = Client()
            client.force_login(person)
            session = client.cookies[settings.SESSION_COOKIE_NAME].value
            page.context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": base_url}])
        answer: Response | None = page.goto(scene.arrange(stage))
        assert answer is not None
        assert answer.status == scene.status, f"{scene.name}: {answer.status}"
        if scene.act is not None:
            scene.act(page, stage)
        yield page
    finally:
        page.goto("about:blank")  # so that it asks for nothing any more
        page.unroute_all()
        stage.close()
