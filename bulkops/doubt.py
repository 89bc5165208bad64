"""Items in doubt: their effect may have happened, and nobody knows. Setting them aside, and settling them.

Everything here runs in a transaction whose caller has locked the job; it locks the chunk. An item comes into doubt when
its operation raises InDoubt, or, where the operation says `in_doubt = "hold"`, when it was begun by a worker that died,
overstayed or lost its chunk. It counts as processed and is never repeated by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import F, Q, Sum

from bulkops import events, failure_groups, failures, totals, transitions
from bulkops.clock import ClockTimestamp
from bulkops.models import Chunk, Outcome
from bulkops.states import EventKind, JobState, OutcomeState

if TYPE_CHECKING:
    from uuid import UUID

    from bulkops.models import Job

LOST = "Its worker was lost while the item was in hand; the effect may or may not have happened."


def set_aside_held(job: Job, condition: Q) -> int:
    """Set aside the items in hand of the job's chunks that match; return their number.

    Waits for the chunks' rows: where a holder's commit is under way, its outcome stands and nothing is set aside. Keeps
    all of them locked, also where nothing is in hand: until the caller has raised the fence, no item may begin.
    """
    held = list(Chunk.objects.select_for_update(no_key=True).filter(condition, job=job).order_by("number"))
    begun = [chunk for chunk in held if chunk.in_hand is not None]
    for chunk in begun:
        set_aside(job, chunk, "in-doubt", LOST)
    return len(begun)


def set_aside(job: Job, chunk: Chunk, code: str, words: str) -> None:
    """Record the item that the chunk has in hand as in doubt. The caller has the chunk's row locked.

    Where that try has an outcome after all, only the note goes: workers of the code before it leave it standing.
    """
    position, attempt = chunk.in_hand, chunk.in_hand_attempt
    if position is None:
        return
    if not _is_open(job, chunk):
        Chunk.objects.filter(pk=chunk.pk).update(in_hand=None, in_hand_attempt=None)
        return
    told: dict[str, Any] = {"attempt": attempt, "error_code": code, "message": words, "finished_at": ClockTimestamp()}
    if attempt == 1:
        Outcome.objects.create(job_id=job.pk, position=position, state=OutcomeState.IN_DOUBT, **told)
        cursor, deferred = chunk.cursor + 1, chunk.deferred
    else:
        Outcome.objects.filter(job_id=job.pk, position=position).update(state=OutcomeState.IN_DOUBT, due=None, **told)
        cursor, deferred = chunk.cursor, chunk.deferred - 1
    Chunk.objects.filter(pk=chunk.pk).update(
        cursor=cursor,
        deferred=deferred,
        in_doubt=F("in_doubt") + 1,
        finished=cursor == chunk.size and deferred == 0,
        in_hand=None,
        in_hand_attempt=None,
        crashes=0,
        crash_position=None,
    )
    events.record(job, EventKind.SET_ASIDE, detail=f"Item {position}: {words}")


def _is_open(job: Job, chunk: Chunk) -> bool:
    """Whether the try that the chunk has in hand has no outcome yet."""
    if chunk.in_hand_attempt == 1:
        return chunk.in_hand == chunk.start + chunk.cursor
    deferred = Outcome.objects.filter(job_id=job.pk, position=chunk.in_hand or 0, state=OutcomeState.DEFERRED)
    return deferred.filter(attempt=(chunk.in_hand_attempt or 0) - 1).exists()


def find(job_id: UUID, position: int) -> Outcome | None:
    """The item's outcome, its chunk's row locked: nobody settles it meanwhile."""
    lying_in = Chunk.objects.filter(job=job_id, start__lte=position, start__gt=position - F("size"))
    lying_in.select_for_update(no_key=True).first()
    return Outcome.objects.filter(job_id=job_id, position=position).first()


def settle(
    job: Job,
    position: int,
    to: OutcomeState,
    *,
    actor: Any = None,
    error_code: str = "",
    message: str = "",
    result: Any = None,
    grouped_by: str = "",
) -> None:
    """Make of an item in doubt what it was after all: succeeded, skipped or failed.

    The caller has found it in doubt through `find`. A failure is counted in the group of `grouped_by`, or of its
    message. A job that had ended with errors, none of which is left, becomes completed.
    """
    if to != OutcomeState.FAILED and job.failed_before:
        known = Outcome.objects.filter(job_id=job.pk, position=position)
        failures.take_off(job, known.values_list("finished_at", flat=True).get())
    told: dict[str, Any] = {"error_code": error_code, "message": message, "result": result}
    lying_in = Chunk.objects.filter(job=job, start__lte=position, start__gt=position - F("size"))
    if to == OutcomeState.FAILED:
        chunk_id = lying_in.values_list("pk", flat=True).get()
        told["fingerprint"] = failure_groups.count(chunk_id, position, error_code, grouped_by or message)
    Outcome.objects.filter(job_id=job.pk, position=position).update(state=to, finished_at=ClockTimestamp(), **told)
    lying_in.update(**{"in_doubt": F("in_doubt") - 1, to.value: F(to.value) + 1})
    totals.note_settled(job, to)
    if job.state == JobState.COMPLETED_WITH_ERRORS:
        left = job.chunks.aggregate(bad=Sum(F("failed") + F("in_doubt")))["bad"]
        if not left:
            transitions.move(job, JobState.COMPLETED, actor=actor)
