"""Opens a scene in a browser: its people logged in, its rows written, what is done there done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.conf import settings
from django.test import Client

from tests.screenshots.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page, Response

    from tests.screenshots.scenes import Scene


@contextmanager
def opened(
    scene: Scene, browser: Browser, base_url: str, listen: Callable[[Page], None] = lambda page: None
) -> Iterator[Page]:
    """A page that shows the scene; `listen` is called before anything is loaded."""
    stage = Stage()
    context = browser.new_context(base_url=base_url, viewport={"width": 1200, "height": 800}, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    try:
        if scene.who:
            person = stage.owner if scene.who == "owner" else stage.person("operator", rights=(), superuser=True)
            client = Client()
            client.force_login(person)
            session = client.cookies[settings.SESSION_COOKIE_NAME].value
            context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": base_url}])
        address = scene.arrange(stage)
        page = context.new_page()
        listen(page)
        answer: Response | None = page.goto(address)
        assert answer is not None
        assert answer.status == scene.status, f"{scene.name}: {answer.status}"
        if scene.act is not None:
            scene.act(page, stage)
        yield page
    finally:
        context.close()
        stage.close()
