"""Proves from the tables, in one snapshot, that a job's outcomes, counters and items agree.

Knows nothing of the code that writes them: each rule below is stated over rows, so that it can find that code wrong.
Right at any moment, also while the job runs, because everything is read in one REPEATABLE READ transaction. Memory
stays bounded: payloads are streamed, outcomes are counted in the database, a row a chunk comes back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from django.db import connection, transaction

from bulkops import manifests
from bulkops.models import Job, Manifest
from bulkops.states import ENDED, JobState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

MOST_NAMED = 50
"""Disagreements beyond this are only counted: a broken job may have one for each item."""
PAYLOADS_AT_ONCE = 20
COMPLETE = frozenset({JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS})
HAVE_A_TOTAL = COMPLETE | {JobState.QUEUED, JobState.RUNNING}
COUNTED = ("succeeded", "skipped", "failed", "in_doubt", "deferred")

# Positions are unique by the primary key, so a count with its lowest and highest position tells a gapless range.
_CHUNKS = f"""
SELECT c.number, c.start, c.size, c.cursor, c.finished, {", ".join(f"c.{name}" for name in COUNTED)},
    o.rows, o.lowest, o.highest, {", ".join(f"o.{name}" for name in COUNTED)}
FROM bulkops_chunk c
LEFT JOIN LATERAL (
    SELECT count(*) AS rows, min(position) AS lowest, max(position) AS highest,
        {", ".join(f"count(*) FILTER (WHERE state = '{name}') AS {name}" for name in COUNTED)}
    FROM bulkops_outcome
    WHERE job_id = c.job_id AND position >= c.start AND position < c.start + c.size
) o ON true
WHERE c.job_id = %s ORDER BY c.number
"""  # noqa: S608 - names of columns
_OUTCOMES = "SELECT count(*) FROM bulkops_outcome WHERE job_id = %s"
_OUTSIDE = """
SELECT position FROM bulkops_outcome o
WHERE job_id = %s AND NOT EXISTS (
    SELECT 1 FROM bulkops_chunk c
    WHERE c.job_id = o.job_id AND o.position >= c.start AND o.position < c.start + c.size)
ORDER BY position LIMIT 10
"""


# Samples count as wrong where a position is not one of the group's own.
_GROUPS = """
SELECT coalesce(o.fingerprint, g.fingerprint), coalesce(g.count, 0), coalesce(o.failed, 0), coalesce(o.rows, 0),
    coalesce(g.strange, 0)
FROM (
    SELECT fingerprint, count(*) AS rows, count(*) FILTER (WHERE state = 'failed') AS failed
    FROM bulkops_outcome WHERE job_id = %(job)s AND fingerprint <> '' GROUP BY fingerprint
) o FULL JOIN (
    SELECT fingerprint, sum(count) AS count, sum((
        SELECT count(*) FROM unnest(samples) AS s (position) WHERE NOT EXISTS (
            SELECT 1 FROM bulkops_outcome
            WHERE job_id = %(job)s AND position = s.position AND fingerprint = groups.fingerprint)
    )) AS strange
    FROM bulkops_failuregroup groups WHERE job_id = %(job)s GROUP BY fingerprint
) g ON g.fingerprint = o.fingerprint
ORDER BY 1
"""


class _Row(NamedTuple):
    """A chunk beside what its outcomes say, column by column as `_CHUNKS` selects them."""

    number: int
    start: int
    size: int
    cursor: int
    finished: bool
    succeeded: int
    skipped: int
    failed: int
    in_doubt: int
    deferred: int
    rows: int
    lowest: int | None
    highest: int | None
    found_succeeded: int
    found_skipped: int
    found_failed: int
    found_in_doubt: int
    found_deferred: int


@dataclass
class Verdict:
    """What was found: figures of the snapshot, and whatever disagrees, each in words."""

    state: str
    total: int | None
    chunks: int = 0
    items: int = 0
    outcomes: int = 0
    found: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    disagreements: list[str] = field(default_factory=list)
    unnamed: int = 0

    @property
    def agrees(self) -> bool:
        return not self.disagreements

    def disagree(self, text: str) -> None:
        if len(self.disagreements) < MOST_NAMED:
            self.disagreements.append(text)
        else:
            self.unnamed += 1


def verify(job_id: UUID) -> Verdict | None:
    """Compare every row of the job with every other in one snapshot; None if there is no such job.

    Must not be called inside a transaction, whose snapshot may have been taken already.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        job = Job.objects.filter(pk=job_id).first()
        if job is None:
            return None
        verdict = Verdict(state=job.state, total=job.total)
        rows = _chunk_rows(job_id)
        _verify_ranges(rows, verdict)
        _verify_manifests(job_id, rows, verdict)
        for row in rows:
            _verify_chunk(row, verdict)
        _verify_outcomes(job_id, verdict)
        _verify_groups(job_id, verdict)
        _verify_job(job, rows, verdict)
        return verdict


def _chunk_rows(job_id: UUID) -> list[_Row]:
    with connection.cursor() as cursor:
        cursor.execute(_CHUNKS, [job_id])
        return [_Row._make(row) for row in cursor.fetchall()]


def _verify_ranges(rows: list[_Row], verdict: Verdict) -> None:
    """Chunks number from 0 without a gap, and so do the positions they cover."""
    start = 0
    for number, row in enumerate(rows):
        if row.number != number:
            verdict.disagree(f"chunk {row.number}: expected chunk {number} here")
        if row.start != start:
            verdict.disagree(f"chunk {row.number}: starts at position {row.start}, expected {start}")
        start = row.start + row.size
    verdict.chunks = len(rows)
    verdict.items = sum(row.size for row in rows)


def _verify_manifests(job_id: UUID, rows: list[_Row], verdict: Verdict) -> None:
    """Each chunk has a manifest with as many items as the chunk says, and no manifest lacks its chunk."""
    missing = {row.number: row.size for row in rows}
    for number, count in _manifest_counts(job_id):
        size = missing.pop(number, None)
        if size is None:
            verdict.disagree(f"manifest {number}: has no chunk")
        elif count is None:
            verdict.disagree(f"manifest {number}: its payload cannot be read")
        elif count != size:
            verdict.disagree(f"manifest {number}: holds {count} items, its chunk says {size}")
    for number in missing:
        verdict.disagree(f"chunk {number}: has no manifest")


def _manifest_counts(job_id: UUID) -> Iterator[tuple[int, int | None]]:
    stored = Manifest.objects.filter(job_id=job_id).order_by("number").values_list("number", "payload")
    for number, payload in stored.iterator(chunk_size=PAYLOADS_AT_ONCE):
        try:
            yield number, len(manifests.decode(payload))
        except Exception:  # whatever it is that a damaged payload raises, it is wrong
            yield number, None


def _verify_chunk(row: _Row, verdict: Verdict) -> None:
    """Counters are what the outcomes say; the outcomes are exactly those of the items before the cursor."""
    for name in COUNTED:
        counted, found = getattr(row, name), getattr(row, f"found_{name}")
        verdict.found[name] += found
        if counted != found:
            verdict.disagree(f"chunk {row.number}: counts {counted} {name}, its outcomes say {found}")
    verdict.outcomes += row.rows
    unknown = row.rows - sum(getattr(row, f"found_{name}") for name in COUNTED)
    if unknown:
        verdict.disagree(f"chunk {row.number}: {unknown} outcomes have no known state")
    if row.cursor != row.rows:
        verdict.disagree(f"chunk {row.number}: the cursor is at {row.cursor}, but there are {row.rows} outcomes")
    if row.rows and (row.lowest, row.highest) != (row.start, row.start + row.rows - 1):
        verdict.disagree(
            f"chunk {row.number}: {row.rows} outcomes lie between positions {row.lowest} and {row.highest},"
            f" expected {row.start} to {row.start + row.rows - 1}"
        )
    if row.cursor > row.size:
        verdict.disagree(f"chunk {row.number}: the cursor is at {row.cursor} of {row.size} items")
    over = row.cursor == row.size and row.deferred == 0
    if row.finished != over:
        state = "all its items are processed" if over else "some of its items are not processed"
        verdict.disagree(f"chunk {row.number}: finished is {row.finished}, but {state}")


def _verify_outcomes(job_id: UUID, verdict: Verdict) -> None:
    """No outcome belongs to an item that is not there."""
    with connection.cursor() as cursor:
        cursor.execute(_OUTCOMES, [job_id])
        if cursor.fetchone()[0] != verdict.outcomes:
            cursor.execute(_OUTSIDE, [job_id])
            positions = ", ".join(str(position) for (position,) in cursor.fetchall())
            verdict.disagree(f"outcomes: outside of all chunks at positions {positions or '(none: chunks overlap)'}")


def _verify_groups(job_id: UUID, verdict: Verdict) -> None:
    """Each group of failures counts the failures that have its fingerprint, and nothing else has one."""
    with connection.cursor() as cursor:
        cursor.execute(_GROUPS, {"job": job_id})
        for fingerprint, counted, failed, rows, strange in cursor.fetchall():
            if counted != failed:
                verdict.disagree(f"group {fingerprint}: counts {counted} failures, the outcomes say {failed}")
            if rows != failed:
                verdict.disagree(f"group {fingerprint}: {rows - failed} outcomes have its fingerprint and did not fail")
            if strange:
                verdict.disagree(f"group {fingerprint}: {strange} of its samples are not its own")


def _verify_job(job: Job, rows: list[_Row], verdict: Verdict) -> None:
    """What the job's row says fits its chunks and its state."""
    state = JobState(job.state)
    if job.total is None:
        if state in HAVE_A_TOTAL:
            verdict.disagree(f"job: is {state.label}, but has no total")
        if verdict.outcomes:
            verdict.disagree("job: has outcomes, but no total")
    elif job.total != verdict.items:
        verdict.disagree(f"job: total is {job.total}, its chunks hold {verdict.items} items")
    if state in COMPLETE:
        _verify_complete(job, rows, verdict)
    if (job.slot is None) != (state in ENDED):
        verdict.disagree(f"job: is {state.label}, but {'holds no' if job.slot is None else 'still holds its'} slot")
    if (job.finished_at is None) != (state not in ENDED):
        verdict.disagree(f"job: is {state.label}, but its end is {job.finished_at or 'not noted'}")
    if verdict.outcomes and job.started_at is None:
        verdict.disagree("job: has outcomes, but no start")


def _verify_complete(job: Job, rows: list[_Row], verdict: Verdict) -> None:
    """A completed job left nothing out, and its state says whether anything went wrong."""
    state = JobState(job.state)
    processed = verdict.outcomes - verdict.found["deferred"]
    if processed != job.total or not all(row.finished for row in rows):
        verdict.disagree(f"job: is {state.label}, but {processed} of {job.total} items are processed")
    bad = verdict.found["failed"] + verdict.found["in_doubt"]
    if (state == JobState.COMPLETED) != (bad == 0):
        verdict.disagree(f"job: is {state.label}, but {bad} items failed or are in doubt")
