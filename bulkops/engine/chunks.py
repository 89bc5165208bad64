"""Claiming a chunk and letting go of it; each claim raises the epoch, which is the fence of every commit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction
from django.db.models import Case, F, OuterRef, Subquery, When

from bulkops import doubt, manifests, transitions
from bulkops.clock import ClockTimestamp
from bulkops.engine.statements import Claim, Try
from bulkops.exceptions import ItemsUnreadable
from bulkops.models import Chunk, Outcome
from bulkops.states import WORKABLE, JobState, OutcomeState

if TYPE_CHECKING:
    from bulkops.engine.allowance import Allowance
    from bulkops.engine.holder import Holder
    from bulkops.engine.turns import Taken
    from bulkops.manifests import Content
    from bulkops.models import Job

# One statement, since hand-overs were a third of what a cheap item cost: it lets go of a chunk that is done, claims the
# next, and brings its items along. Sent alone, it is its own transaction, for a running job without a speed limit.
# The lock order is that of its parts: each asks whether the one above it has found its row. All of them see the tables
# as they were before it waited for the job; so what others may have changed meanwhile is locked, which looks again.
# MATERIALIZED: as a plain sub-select the planner may run it per outer row, and LIMIT 1 then claims several.
# SKIP LOCKED: a killed worker's connection may still hold the row for a moment.
# It looks ahead of the one that is done before it looks behind: while somebody holds a snapshot open, the index leads
# to every old version of the chunks before, and a claim late in a million items looked at 19,000 pages, its items at
# 8,000. What has come free behind waits for the slice's end at most: a slice's first claim begins with the lowest.
_FREE = """
    SELECT id FROM bulkops_chunk
    WHERE EXISTS (SELECT FROM turn)
        AND job_id = %(job)s AND NOT finished AND NOT stop AND holder_id IS NULL
        AND (cursor < size OR due <= clock_timestamp())
        AND (in_hand IS NULL OR NOT %(alone)s)
        AND {where}
    ORDER BY number LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
"""
_CLAIM = f"""
WITH job AS MATERIALIZED (
    SELECT id FROM bulkops_job
    WHERE id = %(job)s AND (NOT %(alone)s OR (state = 'running' AND rate_per_second IS NULL))
    FOR NO KEY UPDATE
), turn AS MATERIALIZED (
    SELECT id FROM bulkops_turn
    WHERE EXISTS (SELECT FROM job)
        AND job_id = %(job)s AND number = %(turn)s AND seq = %(seq)s AND holder_id IS NOT NULL
    FOR NO KEY UPDATE
), let_go AS (
    UPDATE bulkops_chunk c SET holder_id = NULL, worker = NULL, stop = false,
        due = CASE WHEN c.deferred = 0 THEN c.due ELSE (
            SELECT min(o.due) FROM bulkops_outcome o WHERE o.job_id = c.job_id AND o.state = 'deferred'
                AND o.position >= c.start AND o.position < c.start + c.size) END
    WHERE EXISTS (SELECT FROM turn) AND c.id = %(done)s AND c.epoch = %(epoch)s
), ahead AS MATERIALIZED ({_FREE.format(where="number > %(after)s")}
), behind AS MATERIALIZED ({_FREE.format(where="number < %(after)s AND NOT EXISTS (SELECT FROM ahead)")}
), claimed AS (
    UPDATE bulkops_chunk c SET epoch = epoch + 1, holder_id = %(cluster)s, worker = %(worker)s
    FROM (SELECT id FROM ahead UNION ALL SELECT id FROM behind) free
    WHERE c.id = free.id
        AND EXISTS (SELECT 1 FROM bulkops_cluster WHERE id = %(cluster)s AND alive_until > clock_timestamp())
    RETURNING c.id, c.epoch, c.number, c.start, c.size, c.cursor, c.deferred, c.in_hand
)
SELECT claimed.*, (SELECT payload FROM bulkops_manifest WHERE job_id = %(job)s AND number = claimed.number)
FROM turn LEFT JOIN claimed ON true
"""  # noqa: S608 - made of constants
_COLUMNS = ("chunk_id", "epoch", "number", "start", "size", "cursor", "deferred", "in_hand", "payload")


def claim(taken: Taken, holder: Holder, allowance: Allowance | None = None, done: Claim | None = None) -> Claim | None:
    """Claim the job's next chunk, or None: nothing is free, the job stops, has no permits, or the turn is not ours.

    Lets go of the one that is done, if it is still ours. Draws permits into the allowance where the job's speed is
    limited. Locks job and turn, then the chunks. The first claim of a job takes it from queued to running.
    """
    # Only worth a try where it may well succeed; the statement itself asks what is so by then.
    if (taken.at_full_speed or done is not None) and (allowance is None or not allowance.is_limited):
        row = _send(taken, holder, alone=True, done=done)
        claimed = None if row is None else _claim_of(row)
        # A slice that finds nothing at first looks once more: a chunk may have an item to be set aside.
        if claimed is not None or (row is not None and done is not None):
            return claimed
    with transaction.atomic():
        job = transitions.lock_job(taken.job_id)
        if job is None:
            return None
        if done is not None:
            release(job, done)
        if job.state not in WORKABLE or job.state == JobState.PREPARING:
            return None
        if allowance is not None and not allowance.may_claim(job):
            return None
        claimed = _claim_locked(job, taken, holder)
        if claimed is not None and allowance is not None:
            allowance.draw(job)
        return claimed


def _claim_locked(job: Job, taken: Taken, holder: Holder) -> Claim | None:
    row = _send(taken, holder, alone=False)
    claimed = None if row is None else _claim_of(row)
    if row is None or claimed is None:
        return None
    if job.state == JobState.QUEUED:
        transitions.move(job, JobState.RUNNING)
    if row["in_hand"] is not None:
        cursor, deferred = _set_aside(job, claimed.chunk_id)
        return replace(claimed, cursor=cursor, deferred=deferred)
    return claimed


def _send(taken: Taken, holder: Holder, *, alone: bool, done: Claim | None = None) -> dict[str, Any] | None:
    """What was claimed, nothing but NULLs where no chunk was free; None where neither that nor letting go was to be."""
    values: dict[str, Any] = {
        "job": taken.job_id,
        "turn": taken.number,
        "seq": taken.seq,
        "cluster": holder.cluster_id,
        "worker": holder.worker,
        "alone": alone,
        "done": None if done is None else done.chunk_id,
        "epoch": None if done is None else done.epoch,
        "after": -1 if done is None else done.number,
    }
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        row = cursor.fetchone()
    return None if row is None else dict(zip(_COLUMNS, row, strict=True))


def _claim_of(row: dict[str, Any]) -> Claim | None:
    if row["chunk_id"] is None:
        return None
    return Claim(**{name: value for name, value in row.items() if name != "in_hand"})


def _set_aside(job: Job, chunk_id: int) -> tuple[int, int]:
    """Set aside what the last holder had begun; return the chunk's new cursor and number of deferred items.

    Whoever took the chunk back has done so, but for leaders of the code before, beside us during a deploy.
    """
    doubt.set_aside(job, Chunk.objects.get(pk=chunk_id), "in-doubt", doubt.LOST)
    return Chunk.objects.values_list("cursor", "deferred").get(pk=chunk_id)


def items_of(claim: Claim) -> Content:
    """The items of a claimed chunk, in order. Raises ItemsUnreadable."""
    try:
        content = manifests.read(claim.payload)
        whole = len(content.items) == claim.size
    except manifests.Damaged:
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


_FIRST_DUE = (
    Outcome.objects.filter(
        job_id=OuterRef("job_id"),
        state=OutcomeState.DEFERRED,
        position__gte=OuterRef("start"),
        position__lt=OuterRef("start") + OuterRef("size"),
    )
    .order_by("due")
    .values("due")[:1]
)


def release(job: Job, claim: Claim) -> None:
    """Let go of the chunk if it is still ours, in the caller's transaction, which holds the job's lock.

    Its flag to stop says what the job's state says again: it may have been set only to end a slice. It is noted on the
    chunk when its first deferred item comes round.
    """
    due = Case(When(deferred=0, then=F("due")), default=Subquery(_FIRST_DUE))
    mine = Chunk.objects.filter(pk=claim.chunk_id, epoch=claim.epoch)
    mine.update(holder=None, worker=None, stop=job.state not in WORKABLE, due=due)


def stop_asked(claim: Claim) -> bool:
    """Whether the job asks this chunk's holder to stop, or the chunk is no longer ours.

    Its flag alone may only end the slice, which is nothing to an item in hand.
    """
    ours = Chunk.objects.filter(pk=claim.chunk_id, epoch=claim.epoch)
    state = ours.values_list("job__state", flat=True).first()
    return state not in WORKABLE
