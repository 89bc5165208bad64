"""What a report knows of items: the outcomes of a range of positions, read in one query."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db.models import TextField
from django.db.models.functions import Cast

from bulkops.models import Outcome
from bulkops.states import ENDED, OutcomeState

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from bulkops.models import Job

UNPROCESSED = "unprocessed"
STATES = (*OutcomeState.values, UNPROCESSED)
"""What the report says of an item."""


class Told(NamedTuple):
    """What became of an item, and in which job; `result` is JSON as text."""

    state: str = UNPROCESSED
    attempts: int = 0
    error_code: str = ""
    message: str = ""
    result: str | None = None
    finished_at: datetime | None = None
    job: UUID | None = None


NOTHING = Told()


def between(job: Job, start: int, end: int) -> dict[int, Told]:
    """The outcomes from `start` to before `end`, by position.

    An item that waited for its next attempt when its job ended is unprocessed, as for a retry, though it was tried.
    """
    rows = Outcome.objects.filter(job_id=job.pk, position__gte=start, position__lt=end).values_list(
        "position", "state", "attempt", "error_code", "message", Cast("result", TextField()), "finished_at"
    )
    given_up = OutcomeState.DEFERRED if job.state in ENDED else None
    return {
        position: Told(UNPROCESSED if state == given_up else state, attempt, code, message, result, at, job.pk)
        for position, state, attempt, code, message, result, at in rows
    }
