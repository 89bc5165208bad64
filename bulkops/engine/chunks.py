"""Claiming a chunk and letting go of it; each claim raises the epoch, which is the fence of every commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection, transaction

from bulkops import doubt, holds, manifests, transitions
from bulkops.clock import ClockTimestamp
from bulkops.engine.statements import Claim, Try
from bulkops.exceptions import ItemsUnreadable
from bulkops.models import Chunk, Manifest, Outcome
from bulkops.states import WORKABLE, JobState, OutcomeState

if TYPE_CHECKING:
    from bulkops.engine.allowance import Allowance
    from bulkops.engine.holder import Holder
    from bulkops.engine.turns import Taken
    from bulkops.manifests import Content
    from bulkops.models import Job

# MATERIALIZED: as a plain sub-select the planner may run it per outer row, and LIMIT 1 then claims several.
# SKIP LOCKED: a killed worker's connection may still hold the row for a moment.
_CLAIM = """
WITH free AS MATERIALIZED (
    SELECT id FROM bulkops_chunk
    WHERE job_id = %(job)s AND NOT finished AND NOT stop AND holder_id IS NULL
        AND (cursor < size OR due <= clock_timestamp())
    ORDER BY number LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE bulkops_chunk c SET epoch = epoch + 1, holder_id = %(cluster)s, worker = %(worker)s
FROM free
WHERE c.id = free.id
    AND EXISTS (SELECT 1 FROM bulkops_cluster WHERE id = %(cluster)s AND alive_until > clock_timestamp())
RETURNING c.id, c.epoch, c.number, c.start, c.size, c.cursor, c.deferred, c.in_hand
"""


def claim(taken: Taken, holder: Holder, allowance: Allowance | None = None) -> Claim | None:
    """Claim the job's next chunk, or None: nothing is free, the job stops, has no permits, or the turn is not ours.

    Draws permits into the allowance where the job's speed is limited.
    Locks job and turn, then the chunk. The first claim of a job takes it from queued to running.
    """
    with transaction.atomic():
        job = transitions.lock_job(taken.job_id)
        if job is None or job.state not in WORKABLE or job.state == JobState.PREPARING:
            return None
        if not job.turns.filter(number=taken.number, seq=taken.seq, holder__isnull=False).exists():
            return None
        if allowance is not None and not allowance.may_claim(job):
            return None
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, {"job": job.pk, "cluster": holder.cluster_id, "worker": holder.worker})
            row = cursor.fetchone()
        if row is None:
            return None
        if allowance is not None:
            allowance.draw(job)
        if job.state == JobState.QUEUED:
            transitions.move(job, JobState.RUNNING)
        *figures, in_hand = row
        if in_hand is not None:
            figures[-2:] = _set_aside(job, figures[0])
        names = ("chunk_id", "epoch", "number", "start", "size", "cursor", "deferred")
        return Claim(**dict(zip(names, figures, strict=True)))


def _set_aside(job: Job, chunk_id: int) -> tuple[int, int]:
    """Set aside what the last holder had begun; return the chunk's new cursor and number of deferred items.

    Whoever took the chunk back has done so, but for leaders of the code before, beside us during a deploy.
    """
    doubt.set_aside(job, Chunk.objects.get(pk=chunk_id), "in-doubt", doubt.LOST)
    return Chunk.objects.values_list("cursor", "deferred").get(pk=chunk_id)


def items_of(taken: Taken, claim: Claim) -> Content:
    """The items of a claimed chunk, in order. Raises ItemsUnreadable."""
    payload = Manifest.objects.values_list("payload", flat=True).filter(pk=(taken.job_id, claim.number)).first()
    try:
        content = manifests.read(payload or b"")
        whole = len(content.items) == claim.size
    except Exception:  # whatever it is that a damaged payload raises
        whole = False
    if not whole:
        raise ItemsUnreadable(claim.number)
    return content


def due_retries(taken: Taken, claim: Claim) -> list[Try]:
    """The next tries of the chunk's deferred items that have come round."""
    if not claim.deferred:
        return []
    rows = Outcome.objects.filter(
        job_id=taken.job_id,
        state=OutcomeState.DEFERRED,
        position__gte=claim.start,
        position__lt=claim.start + claim.size,
        due__lte=ClockTimestamp(),
    ).values_list("position", "attempt")
    return [Try(claim=claim, position=position, attempt=tries + 1) for position, tries in rows.order_by("due")]


def release(job: Job, claim: Claim) -> None:
    """Let go of the chunk if it is still ours, in the caller's transaction, which holds the job's lock.

    Its flag to stop says what the job's state says again: it may have been set only to end a slice.
    """
    mine = Chunk.objects.filter(pk=claim.chunk_id, epoch=claim.epoch)
    if mine.update(holder=None, worker=None, stop=job.state not in WORKABLE):
        chunk = mine.only("job_id", "start", "size", "deferred").get()
        if chunk.deferred:
            holds.refresh_chunk_due(chunk)


def stop_asked(claim: Claim) -> bool:
    """Whether the job asks this chunk's holder to stop, or the chunk is no longer ours.

    Its flag alone may only end the slice, which is nothing to an item in hand.
    """
    ours = Chunk.objects.filter(pk=claim.chunk_id, epoch=claim.epoch)
    state = ours.values_list("job__state", flat=True).first()
    return state not in WORKABLE
