"""Taking a turn and letting go of it.

A message's `seq` must be the turn's, and taking the turn raises it, so that duplicates are inert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction

from bulkops import dispatch, holds, transitions
from bulkops.models import Job, Turn
from bulkops.states import STOPPING, WORKABLE, JobState

if TYPE_CHECKING:
    from uuid import UUID

    from bulkops.engine.holder import Holder


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A turn in hand; `seq` is what the row must still say for this worker to hand it on."""

    job_id: UUID
    number: int
    seq: int
    at_full_speed: bool = False
    """Whether the job was running by then, without a limit to its speed."""


def take(job_id: UUID, number: int, seq: int, holder: Holder) -> Taken | None:
    """Take the turn for this worker, and its message out of the queue; None if the message is stale.

    Locks job, then turn. Where pause or cancel came first, there is nothing to take and the job is settled instead.
    """
    with transaction.atomic():
        job = transitions.lock_job(job_id)
        if job is None or not alive(holder):
            return None
        turn = Turn.objects.select_for_update(no_key=True).filter(job=job, number=number).first()
        if turn is None or turn.seq != seq or turn.holder_id is not None:
            return None
        if job.state not in WORKABLE and not (job.state in STOPPING and holds.is_complete(job)):
            holds.settle_stop(job)
            return None
        if turn.message_id is not None:
            dispatch.withdraw([turn.message_id])
        Turn.objects.filter(pk=turn.pk).update(
            seq=seq + 1, holder_id=holder.cluster_id, worker=holder.worker, message_id=None
        )
        at_full_speed = job.state == JobState.RUNNING and job.rate_per_second is None
        return Taken(job_id=job_id, number=number, seq=seq + 1, at_full_speed=at_full_speed)


def alive(holder: Holder) -> bool:
    """Whether the holder's cluster still counts as living; a claim of a dead one would be taken back at once."""
    return holds.alive_clusters().filter(pk=holder.cluster_id).exists()


def lock_own(job: Job, taken: Taken) -> Turn | None:
    """The turn, locked, if it is still in this worker's hand. Caller holds the job's lock."""
    turn = Turn.objects.select_for_update(no_key=True).filter(job=job, number=taken.number, seq=taken.seq).first()
    return turn if turn is not None and turn.holder_id is not None else None


def let_go(turn: Turn) -> None:
    """Free the turn with nothing to do for now; `dispatch.send` gives it a message and a time again."""
    Turn.objects.filter(pk=turn.pk).update(holder=None, worker=None, message_id=None, due=None)
    turn.holder = turn.worker = turn.message_id = turn.due = None
