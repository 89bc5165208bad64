"""Forms, from the first look to the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkops.states import JobState
from tests.screenshots.scenes.belongings import UNBROKEN
from tests.screenshots.scenes.listing import press, scene
from ticketing.models import Ticket

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.screenshots.stage import Stage


@scene("form-simple")
def _(stage: Stage) -> str:
    return "/operations/reprice-tickets/"


@scene("form-long")
def _(stage: Stage) -> str:
    return "/operations/call-http-api/"


@scene("form-last-run")
def _(stage: Stage) -> str:
    stage.job(JobState.COMPLETED, ago=10_800, counts={"succeeded": 40})
    return "/operations/reprice-tickets/"


@scene("form-again")
def _(stage: Stage) -> str:
    job = stage.job(JobState.COMPLETED, ago=10_800, total=1_204, counts={"succeeded": 1_204}, input_name=UNBROKEN)
    return f"/operations/reprice-tickets/?again={job.pk}"


@scene("form-files")
def _(stage: Stage) -> str:
    return "/operations/process-files/"


@scene("form-refused", act=press("Preview"))
def _(stage: Stage) -> str:
    return "/operations/call-http-api/"


@scene("form-while-active")
def _(stage: Stage) -> str:
    stage.job(JobState.RUNNING, total=480, counts={"succeeded": 120}, name="Whole season")
    return "/operations/reprice-tickets/"


@scene("form-no-worker")
def _(stage: Stage) -> str:
    stage.no_worker()
    return "/operations/reprice-tickets/"


def _second_press(page: Page, stage: Stage) -> None:
    page.get_by_label("Cents").fill("50")
    stage.job(JobState.RUNNING, total=480, counts={"succeeded": 120}, name="Whole season")
    press("Start")(page, stage)


@scene("form-second-press", act=_second_press)
def _(stage: Stage) -> str:
    return "/operations/reprice-tickets/"


def _previewed(page: Page, stage: Stage) -> None:
    page.get_by_label("Cents").fill("50")
    page.get_by_label("Paste the items").fill("\n".join(f"AUR-{number:05}" for number in range(1, 41)))
    press("Preview")(page, stage)


@scene("preview", act=_previewed)
def _(stage: Stage) -> str:
    return "/operations/reprice-tickets/"


def _counted(page: Page, stage: Stage) -> None:
    page.get_by_label("Cents").fill("50")
    press("Preview")(page, stage)


@scene("preview-counted", act=_counted)
def _(stage: Stage) -> str:
    stage.tickets()
    return "/operations/reprice-tickets/"


@scene("preview-nothing-found", act=_counted)
def _(stage: Stage) -> str:
    return "/operations/reprice-tickets/"


def _tried(page: Page, stage: Stage) -> None:
    page.get_by_label("Cents").fill("-5000")
    cheap, dear = (Ticket.objects.order_by(order)[0].pk for order in ("price", "-price"))
    page.get_by_label("Paste the items").fill(f"{dear}\n{cheap}\n999999\nx\n{dear}\n{cheap}")
    press("Try it")(page, stage)


@scene("tried", act=_tried)
def _(stage: Stage) -> str:
    stage.tickets()
    return "/operations/reprice-tickets/"
