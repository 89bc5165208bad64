"""The list of scenes, and what is done on more than one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from tests.screenshots.stage import Stage


@dataclass(frozen=True)
class Scene:
    """One page in one state."""

    name: str
    arrange: Callable[[Stage], str]
    act: Callable[[Page, Stage], None] | None = None
    """What is done once it is open."""
    status: int = 200
    who: str = "owner"
    """“owner”, “operator” (a superuser) or “” for nobody."""
    ours: bool = True
    """Whether the page is made by this project's own templates, and not by Django's or a packaged script."""


SCENES: dict[str, Scene] = {}


def scene(name: str, **how: Any) -> Callable[[Callable[[Stage], str]], Callable[[Stage], str]]:
    """Puts what it decorates on the list."""

    def listed(arrange: Callable[[Stage], str]) -> Callable[[Stage], str]:
        assert name not in SCENES, name
        SCENES[name] = Scene(name, arrange, **how)
        return arrange

    return listed


def press(name: str) -> Callable[[Page, Stage], None]:
    """Presses a button, once the page is there."""

    def pressed(page: Page, _stage: Stage) -> None:
        page.get_by_role("button", name=name, exact=True).click()
        page.wait_for_load_state("networkidle")

    return pressed


def opened_panel(words: str) -> Callable[[Page, Stage], None]:
    """Presses what opens a panel, by its words."""
    return lambda page, _stage: page.get_by_text(words, exact=True).click()
