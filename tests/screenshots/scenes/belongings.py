"""What several scenes hold: words that are too long, and many jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkops.states import JobState

if TYPE_CHECKING:
    from tests.screenshots.stage import Stage


LONG = (
    "Autumn price rise for every seat of the Großes Haus, including the wheelchair places and the boxes on both sides"
)
UNBROKEN = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft_2026-11-22_final_v2.csv"
FAILURES = [
    "ValueError: The price would become negative.",
    "The seller answered 429 Too Many Requests three times; the last answer named no time at which to try again.",
    "IntegrityError: duplicate key value violates unique constraint “ticketing_seat_sold_once”",
]


def history(stage: Stage) -> None:
    """Jobs of each kind of end, with names long and short."""
    stage.job(JobState.FAILED, ago=700_000, error="The file has no column “number”.", total=1)
    stage.job(JobState.COMPLETED, ago=190_000, total=1_000_000, counts={"succeeded": 1_000_000}, name="Whole season")
    stage.job(JobState.CANCELLED, ago=80_000, total=12_500, counts={"succeeded": 4_120}, name=LONG)
    stage.job(
        JobState.COMPLETED_WITH_ERRORS, ago=9_000, total=480, counts={"succeeded": 441, "failed": 39}, name=UNBROKEN
    )
    stage.job(JobState.COMPLETED, ago=600, counts={"succeeded": 40}, schedule="nightly prices")


def crowd(stage: Stage) -> None:
    """Several people's active jobs, and one's history."""
    history(stage)
    told: dict[str, list[Any]] = {"failed": FAILURES}
    counts = {"succeeded": 20_411, "failed": 3}
    stage.held(stage.job(JobState.RUNNING, total=48_210, counts=counts, outcomes=told, name=LONG))
    noor, jonas = stage.person("noor.haddad"), stage.person("jonas.weber")
    stage.job(JobState.PAUSED, owner=noor, counts={"succeeded": 12}, tags=["spring", "north"], input_name=UNBROKEN)
    stage.job(JobState.QUEUED, owner=jonas, ago=20)
