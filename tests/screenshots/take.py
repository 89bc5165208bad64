"""Takes the screenshots: each scene in light and dark, at the width of a desktop, a phone and the narrowest screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.screenshots.opening import opened
from tests.screenshots.scenes import SCENES

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.django_db(transaction=True)

WIDTHS = (1200, 375, 320)
TALLEST = 16_000
"""Pixels of a page that a browser can draw in one piece."""
LOADED = """() => Promise.all([...document.images].map((one) => { one.loading = "eager"; return one.decode(); }))"""
"""Pictures further down are loaded only when one scrolls to them."""


@pytest.mark.parametrize("name", SCENES)
def test_taken(name: str, browser: Browser, live_server: Any, screenshots: Path) -> None:
    with opened(SCENES[name], browser, live_server.url) as page:
        page.mouse.move(0, 0)  # what was pressed is not hovered over any more
        page.evaluate(LOADED)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                tall = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
                path = screenshots / f"{name}-{scheme}-{width}.png"
                page.screenshot(path=path, full_page=True, clip={"x": 0, "y": 0, "width": width, "height": tall})
