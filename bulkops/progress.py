"""How far a job is and why: counts, percent, rate, elapsed and the state in words, the same for every face.

A job's progress is the sum over its chunks, so workers never contend on one row; reading a million items is one
aggregate over a thousand rows.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from django.db import connection
from django.db.models import Min, Q, Sum
from django.utils import timezone

from bulkops import holds, lineage, permits
from bulkops.models import Chunk, Event
from bulkops.states import ACTIVE, ENDED, WORKABLE, EventKind, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from bulkops.models import Job

UNSTARTED = frozenset({JobState.QUEUED, JobState.PREPARING})
REASON_CHARS = 200
"""What the card shows of the reason for a pause."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A job's figures at one moment."""

    total: int | None
    prepared: int
    processed: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    in_doubt: int = 0
    deferred: int = 0
    elapsed_seconds: float | None = None
    rate_per_second: float | None = None
    queue_position: int | None = None
    stalled: bool = False
    words: str = ""
    advice: str = ""
    left: dict[str, int] = field(default_factory=dict)
    """Of an ended job, by kind: how many items a retry can still take."""

    @property
    def percent(self) -> int:
        """0 to 100, rounded down; 100 only when all items are processed."""
        if self.total is None:
            return 0
        return 100 if self.total == 0 else math.floor(100 * self.processed / self.total)

    @property
    def unprocessed(self) -> int | None:
        return None if self.total is None else self.total - self.processed


def of(job: Job) -> Progress:
    """The figures of one job: one query, and two more while it waits."""
    return of_many([job])[job.pk]


def of_many(jobs: Iterable[Job]) -> dict[UUID, Progress]:
    """The figures of many jobs; the number of queries does not grow with theirs."""
    jobs = list(jobs)
    counts: dict[UUID, Any] = {
        row["job"]: row
        for row in Chunk.objects.filter(job__in=[job.pk for job in jobs])
        .values("job")
        .annotate(
            succeeded=Sum("succeeded"),
            failed=Sum("failed"),
            skipped=Sum("skipped"),
            in_doubt=Sum("in_doubt"),
            deferred=Sum("deferred"),
            next_try=Min("due", filter=Q(finished=False)),
        )
    }
    now = timezone.now()
    waiting = any(job.state in WORKABLE for job in jobs)
    served = _served_queues() if waiting else set()
    places = queue_places([job for job in jobs if job.state in UNSTARTED])
    left = _left({job.pk: _retryable(job, counts.get(job.pk, {})) for job in jobs if job.state in ENDED and job.total})
    reasons = _paused_for([job for job in jobs if job.state == JobState.PAUSED])
    figures = {job.pk: _progress(job, counts.get(job.pk, {}), places.get(job.pk), now, served) for job in jobs}
    for pk, why in reasons.items():
        figures[pk] = replace(figures[pk], words=f"{figures[pk].words}: {why}")
    for pk, kinds in left.items():
        figures[pk] = replace(figures[pk], left=kinds)
    return figures


def from_row(
    job: Job, row: dict[str, Any], *, place: int | None, served: bool, taken: dict[str, int], now: datetime
) -> Progress:
    """The figures of a job of which all that they are made of was read already; asks nothing. Without its reason."""
    figures = _progress(job, row, place, now, {job.queue} if served else set())
    if job.state in ENDED and job.total:
        kinds = {kind: n - taken.get(kind, 0) for kind, n in _retryable(job, row).items()}
        figures = replace(figures, left={kind: n for kind, n in kinds.items() if n > 0})
    return figures


def _paused_for(jobs: list[Job]) -> dict[UUID, str]:
    """Why each of these stands still, where anybody or anything gave a reason."""
    if not jobs:
        return {}
    asked = Event.objects.filter(job__in=jobs, kind=EventKind.PAUSE_REQUESTED).order_by("job", "-pk").distinct("job")
    told = {
        job: textwrap.shorten(detail, REASON_CHARS, placeholder=" …")
        for job, detail in asked.values_list("job", "detail")
    }
    return {job: why.rstrip(".") for job, why in told.items() if why}


def _retryable(job: Job, row: dict) -> dict[str, int]:
    processed = sum(row.get(name) or 0 for name in ("succeeded", "skipped", "failed", "in_doubt"))
    counted = {
        lineage.FAILED: row.get("failed") or 0,
        lineage.UNPROCESSED: (job.total or 0) - processed,
        lineage.IN_DOUBT: row.get("in_doubt") or 0,
    }
    return {kind: count for kind, count in counted.items() if count > 0}


def _left(counted: dict[UUID, dict[str, int]]) -> dict[UUID, dict[str, int]]:
    """What is left of each kind; asks for children only where there is something to take."""
    asked = [pk for pk, kinds in counted.items() if kinds]
    taken = lineage.taken_counts(asked) if asked else {}
    left = {pk: {kind: n - taken.get(pk, {}).get(kind, 0) for kind, n in counted[pk].items()} for pk in asked}
    return {pk: {kind: n for kind, n in kinds.items() if n > 0} for pk, kinds in left.items()}


def _progress(job: Job, row: dict, position: int | None, now: datetime, served: set[str]) -> Progress:
    counted: dict[str, Any] = {
        name: row.get(name) or 0 for name in ("succeeded", "failed", "skipped", "in_doubt", "deferred")
    }
    processed = sum(counted.values()) - counted["deferred"]
    elapsed = None if job.started_at is None else ((job.finished_at or now) - job.started_at).total_seconds()
    rate = processed / elapsed if elapsed and processed else None
    stalled = job.state in WORKABLE and job.queue not in served
    words, advice = (
        _in_words(job, position, row.get("next_try"), now) if not stalled else _stalled_in_words(job, served)
    )
    return Progress(
        total=job.total,
        prepared=job.prepared,
        processed=processed,
        elapsed_seconds=elapsed,
        rate_per_second=rate,
        queue_position=position,
        stalled=stalled,
        words=words,
        advice=advice,
        **counted,
    )


# Counted where the turns are: fetching them took 151 ms a poll with 10,000 waiting jobs, this a tenth of it.
WAITING = """
    SELECT t.job_id, row_number() OVER (PARTITION BY j.queue ORDER BY min(t.due), t.job_id) - 1 AS place
    FROM bulkops_turn t JOIN bulkops_job j ON j.id = t.job_id
    WHERE t.holder_id IS NULL AND t.due IS NOT NULL AND j.started_at IS NULL
    GROUP BY t.job_id, j.queue
"""
_PLACES = f"SELECT job_id, place FROM ({WAITING}) waiting WHERE job_id = ANY(%s::uuid[])"  # noqa: S608 - constants


def queue_places(jobs: list[Job]) -> dict[UUID, int]:
    """How many unstarted jobs of the same queue are due before each of these; without those that wait for nothing."""
    if not jobs:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_PLACES, [[str(job.pk) for job in jobs]])
        return dict(cursor.fetchall())


def _served_queues() -> set[str]:
    """The queues from which a living cluster takes work."""
    return {queue for queues in holds.alive_clusters().values_list("queues", flat=True) for queue in queues}


def _stalled_in_words(job: Job, served: set[str]) -> tuple[str, str]:
    missing = f"no worker serves the queue “{job.queue}”" if served else "no worker is running"
    return f"Waiting: {missing}", "Tell your administrator. The job goes on as soon as there is one."


def _in_words(job: Job, position: int | None, next_try: datetime | None, now: datetime) -> tuple[str, str]:
    if job.state == JobState.PREPARING:
        doing = "Collecting the items" if job.collects else "Checking the items"
        return (f"{doing}: {job.prepared:,} so far" if job.prepared else doing), ""
    if job.state == JobState.QUEUED and position:
        return f"Waiting: {position} job{'s' if position != 1 else ''} ahead", ""
    if job.state == JobState.RUNNING:
        limited = "Running" if job.rate_per_second is None else f"Running, {permits.in_words(job.rate_per_second)}"
        waiting = next_try is not None and next_try > now
        return f"{limited}; some items wait for another try" if waiting else limited, ""
    if job.state == JobState.FAILED:
        return "Failed", job.error
    return _WORDS[JobState(job.state)]


_WORDS: dict[JobState, tuple[str, str]] = {
    JobState.QUEUED: ("Waiting for a free worker", ""),
    JobState.PAUSING: ("Pausing: the item in hand is finished first", ""),
    JobState.PAUSED: ("Paused", "Resume it to go on where it stands, or cancel it."),
    JobState.CANCELLING: ("Cancelling: the item in hand is finished first", ""),
    JobState.COMPLETED: ("Completed", ""),
    JobState.COMPLETED_WITH_ERRORS: ("Completed, with errors", "Some items failed or are in doubt."),
    JobState.CANCELLED: ("Cancelled", "What was done before stays done."),
}


def allowed(job: Job, figures: Progress) -> dict[str, bool]:
    """Which controls the job's state allows."""
    state = JobState(job.state)
    return {
        "cancellable": state in ACTIVE - {JobState.CANCELLING},
        "pausable": state in WORKABLE,
        "resumable": state == JobState.PAUSED,
        "retryable": bool(figures.left),
    }
