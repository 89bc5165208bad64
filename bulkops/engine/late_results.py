"""What a worker did outside the database although its chunk had been taken over meanwhile: never thrown away.

If the item was set aside as in doubt for that very try, the result settles the doubt. Otherwise it becomes an event:
the item belongs to whoever has the chunk now, or was recorded by them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from django.db import transaction

from bulkops import doubt, events, lineage, transitions
from bulkops.states import EventKind, OutcomeState

if TYPE_CHECKING:
    from uuid import UUID

    from bulkops.engine.statements import Result, Try
    from bulkops.models import Job


def settle(job_id: UUID, one: Try, late: Result) -> None:
    """Record the result of a try whose fence was lost. One transaction; locks the job and then the chunk."""
    with transaction.atomic():
        job = transitions.lock_job(job_id)
        if job is None:
            return
        known = doubt.find(job_id, one.position)
        if known is not None and known.attempt == one.attempt:
            if known.state == late.state and (known.message, known.error_code) == (late.message, late.error_code):
                return  # our own commit, whose answer was lost
            if known.state == OutcomeState.IN_DOUBT and not lineage.is_taken(job, one.position):
                _settle_doubt(one, late, job)
                return
        events.record(
            job,
            EventKind.LATE_RESULT,
            detail=f"Item {one.position}, {late.state.label}: {late.message or late.result or ''}",
        )


def _settle_doubt(one: Try, late: Result, job: Job) -> None:
    # Refused for the moment, so nothing has happened; but nobody comes round to this item by itself any more.
    to = OutcomeState.FAILED if late.state == OutcomeState.DEFERRED else late.state
    if to == OutcomeState.IN_DOUBT:
        return
    doubt.settle(
        job,
        one.position,
        to,
        error_code=late.error_code,
        message=late.message,
        result=None if late.result is None else json.loads(late.result),
    )
    events.record(job, EventKind.LATE_RESULT, detail=f"Item {one.position} was in doubt: {to.label} after all")
