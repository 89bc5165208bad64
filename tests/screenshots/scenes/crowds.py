"""Many jobs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.screenshots.scenes.belongings import crowd
from tests.screenshots.scenes.listing import scene

if TYPE_CHECKING:
    from tests.screenshots.stage import Stage


@scene("jobs-mine")
def _(stage: Stage) -> str:
    crowd(stage)
    return "/jobs/"


@scene("jobs-none")
def _(stage: Stage) -> str:
    return "/jobs/"


@scene("jobs-everybody", who="operator")
def _(stage: Stage) -> str:
    crowd(stage)
    return "/jobs/?owner=all&since=yesterday"


@scene("wall", who="operator")
def _(stage: Stage) -> str:
    crowd(stage)
    return "/jobs/active/"


@scene("wall-empty", who="operator")
def _(stage: Stage) -> str:
    return "/jobs/active/"
