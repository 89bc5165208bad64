"""The first page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkops.states import JobState
from tests.screenshots.scenes.belongings import UNBROKEN, history
from tests.screenshots.scenes.listing import scene

if TYPE_CHECKING:
    from tests.screenshots.stage import Stage


@scene("home-empty")
def _(stage: Stage) -> str:
    return "/"


@scene("home-running")
def _(stage: Stage) -> str:
    history(stage)
    stage.job(JobState.RUNNING, total=48_210, counts={"succeeded": 20_411, "failed": 3, "skipped": 18}, ago=125)
    return "/"


@scene("home-history")
def _(stage: Stage) -> str:
    history(stage)
    return "/"


@scene("home-search")
def _(stage: Stage) -> str:
    history(stage)
    return "/?find=ticket+price"


@scene("home-search-none")
def _(stage: Stage) -> str:
    return "/?find=" + UNBROKEN


@scene("home-open-refused", status=404)
def _(stage: Stage) -> str:
    return "/jobs/open/?id=1b4e28ba-2fa1-4d2b-883f-0016d3cca427"


@scene("jobs-none-found")
def _(stage: Stage) -> str:
    history(stage)
    return "/jobs/?search=no+such+name&state=active&since=tomorrow"
