"""Taking a turn and letting go of it.

A message's `seq` must be the turn's, and taking the turn raises it, so that duplicates are inert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from bulkops import dispatch, holds, transitions
from bulkops.models import Job, Turn
from bulkops.states import STOPPING, WORKABLE

if TYPE_CHECKING:
    from uuid import UUID

    from bulkops.engine.holder import Holder


_WORKABLE = sorted(WORKABLE)


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A turn in hand; `seq` is what the row must still say for this worker to hand it on."""

    job_id: UUID
    number: int
    seq: int
    at_full_speed: bool = False
    """Whether the job was running by then, without a limit to its speed."""


# One statement, since between a press and its first item each round trip is waited for. Sent alone, it is its own
# transaction. It sees the tables as they were before it waited for the job, so the turn is locked, which looks again.
# The lock order is that of its parts, each of which asks whether the one above has found its row.
_TAKE = f"""
WITH job AS MATERIALIZED (
    SELECT id, state, state = 'running' AND rate_per_second IS NULL AS at_full_speed FROM bulkops_job
    WHERE id = %(job)s FOR NO KEY UPDATE
), turn AS MATERIALIZED (
    SELECT id, message_id FROM bulkops_turn
    WHERE EXISTS (SELECT FROM job WHERE state = ANY(%(workable)s))
        AND job_id = %(job)s AND number = %(turn)s AND seq = %(seq)s AND holder_id IS NULL
        AND EXISTS (SELECT FROM bulkops_cluster WHERE id = %(cluster)s AND alive_until > clock_timestamp())
    FOR NO KEY UPDATE
), withdrawn AS (
    DELETE FROM {dispatch.MESSAGES} WHERE id IN (SELECT message_id FROM turn)
), taken AS (
    UPDATE bulkops_turn t SET seq = t.seq + 1, holder_id = %(cluster)s, worker = %(worker)s, message_id = NULL
    FROM turn WHERE t.id = turn.id RETURNING t.id
)
SELECT state, at_full_speed, EXISTS (SELECT FROM taken) FROM job
"""  # noqa: S608 - a table's name


def take(job_id: UUID, number: int, seq: int, holder: Holder) -> Taken | None:
    """Take the turn for this worker, and its message out of the queue; None if the message is stale.

    Locks job, then turn. Where pause or cancel came first, there is nothing to take and the job is settled instead.
    """
    values: dict[str, Any] = {
        "job": job_id,
        "turn": number,
        "seq": seq,
        "cluster": holder.cluster_id,
        "worker": holder.worker,
        "workable": _WORKABLE,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        row = cursor.fetchone()
    if row is None:
        return None
    state, at_full_speed, taken = row
    if taken:
        return Taken(job_id=job_id, number=number, seq=seq + 1, at_full_speed=at_full_speed)
    return _take_of_a_stopping_job(job_id, number, seq, holder) if state in STOPPING else None


def _take_of_a_stopping_job(job_id: UUID, number: int, seq: int, holder: Holder) -> Taken | None:
    """The same where it is to be seen first whether the job is complete: then the last item won, and it is finished."""
    with transaction.atomic():
        job = transitions.lock_job(job_id)
        if job is None or job.state not in STOPPING or not alive(holder):
            return None
        turn = Turn.objects.select_for_update(no_key=True).filter(job=job, number=number).first()
        if turn is None or turn.seq != seq or turn.holder_id is not None:
            return None
        if not holds.is_complete(job):
            holds.settle_stop(job)
            return None
        if turn.message_id is not None:
            dispatch.withdraw([turn.message_id])
        Turn.objects.filter(pk=turn.pk).update(
            seq=seq + 1, holder_id=holder.cluster_id, worker=holder.worker, message_id=None
        )
        return Taken(job_id=job_id, number=number, seq=seq + 1)


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
