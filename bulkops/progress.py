"""How far a job is and why: counts, percent, rate, time left and the state in words, the same for every face.

A job's progress is the sum over its chunks, so workers never contend on one row; reading a million items is one
aggregate over a thousand rows. Many jobs are read here; one with all that can be told of it, in `snapshots`.
"""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from django.db.models import Max, Min, Q, Sum
from django.utils import timezone

from bulkops import lineage, pace, queueing, wording
from bulkops.estimate import Recent
from bulkops.models import Chunk, Event
from bulkops.states import ACTIVE, ENDED, WORKABLE, EventKind, JobState
from bulkops.workforce import Workforce

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from bulkops.estimate import Point, TimeLeft
    from bulkops.models import Job
    from bulkops.pace import Course

COUNTS = ("succeeded", "failed", "skipped", "in_doubt", "deferred")
REASON_CHARS = 200
"""What the card shows of the reason for a pause."""
_NOBODY = Workforce(0.0, [])


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
    """Lately; of an ended job, over all the time that it was at work."""
    eta: TimeLeft | None = None
    """None where nothing is worth saying: too early, too unsteady, or nothing moves."""
    queue_position: int | None = None
    stalled: bool = False
    words: str = ""
    story: str = ""
    """Of an ended job: what happened."""
    advice: str = ""
    left: dict[str, int] = field(default_factory=dict)
    """Of an ended job, by kind: how many items a retry can still take."""
    course: tuple[Point, ...] = field(default=(), repr=False)
    """Items processed by so many seconds of work, up to now."""

    @property
    def percent(self) -> int:
        """0 to 100, rounded down; 100 only when all items are processed."""
        if self.total is None:
            return 0
        return 100 if self.total == 0 else math.floor(100 * self.processed / self.total)

    @property
    def unprocessed(self) -> int | None:
        return None if self.total is None else self.total - self.processed

    @property
    def time_left(self) -> str:
        """“about 2 to 3 minutes”; empty where nothing is worth saying."""
        return "" if self.eta is None else wording.left(self.eta)


@dataclass(frozen=True, kw_only=True)
class Around:
    """What a job's figures are made of beside its own rows of counts."""

    workforce: Workforce
    course: Course | None = None
    """None where it was not begun, or the code before this began it."""
    ahead: int | None = None
    slowest: float | None = None
    """Seconds that an item takes in the slowest job in the workers' hands; see `queueing`."""
    lost: bool = False
    """Whether work of it is, or was until a moment ago, in the hands of a worker that is gone."""
    reason: str = ""
    """Why it is paused."""
    taken: dict[str, int] = field(default_factory=dict)
    """How many of its items later jobs took, by kind."""


def of(job: Job) -> Progress:
    """The figures of one job: a query or two, and one or two more while it is active."""
    return of_many([job])[job.pk]


def of_many(jobs: Iterable[Job]) -> dict[UUID, Progress]:
    """The figures of many jobs; the number of queries does not grow with theirs."""
    jobs = list(jobs)
    counts = _counts(jobs)
    moving = any(job.state in ACTIVE and job.state != JobState.PAUSED for job in jobs)
    workforce = Workforce.read() if moving else _NOBODY
    courses = pace.courses([job.pk for job in jobs if job.started_at is not None and job.state != JobState.PAUSED])
    places = queueing.places([job for job in jobs if job.state in queueing.UNSTARTED])
    reasons = _paused_for([job for job in jobs if job.state == JobState.PAUSED])
    ended = [job.pk for job in jobs if job.state in ENDED and _retryable(job, counts.get(job.pk, {}))]
    taken = lineage.taken_counts(ended) if ended else {}
    now = timezone.now()
    return {
        job.pk: from_row(
            job,
            counts.get(job.pk, {}),
            Around(
                workforce=workforce,
                course=courses.get(job.pk),
                ahead=places.get(job.pk),
                reason=reasons.get(job.pk, ""),
                taken=taken.get(job.pk, {}),
            ),
            now=now,
        )
        for job in jobs
    }


def counted(job: Job) -> Progress:
    """The counts alone; one query."""
    return _counted(job, _counts([job]).get(job.pk, {}))


def from_row(job: Job, row: dict[str, Any], around: Around, *, now: datetime) -> Progress:
    """The figures of a job of which all that they are made of was read already; asks nothing."""
    figures = _counted(job, row)
    elapsed = None if job.started_at is None else ((job.finished_at or now) - job.started_at).total_seconds()
    points = () if around.course is None else around.course.points
    figures = replace(figures, elapsed_seconds=elapsed, queue_position=around.ahead, course=points)
    if job.state in ENDED:
        return _ended(job, _with_average(figures), row, around)
    workers = around.workforce.workers(job.queue)
    stalled = job.state in WORKABLE and workers is None
    if job.state in pace.AT_WORK:
        steady = not (stalled or around.lost) and job.state == JobState.RUNNING
        figures = _with_speed(job, figures, row, around, steady=steady)
    if stalled:
        words, advice = wording.stalled(job, any_worker=around.workforce.lives)
    elif around.lost and job.state in pace.AT_WORK | WORKABLE:
        words, advice = wording.lost(), ""
    else:
        words, advice = wording.state(
            job,
            ahead=around.ahead,
            about=queueing.about_seconds(around.ahead or 0, workers, around.slowest),
            reason=reason_in_words(around.reason),
            retrying=row.get("next_try") is not None and row["next_try"] > now,
        )
    return replace(figures, stalled=stalled, words=words, advice=advice)


def reason_in_words(detail: str) -> str:
    """As much of the reason for a pause as the card shows."""
    return textwrap.shorten(detail, REASON_CHARS, placeholder=" …").rstrip(".")


def _counts(jobs: list[Job]) -> dict[UUID, Any]:
    rows = Chunk.objects.filter(job__in=[job.pk for job in jobs]).values("job").annotate(**SUMS)
    return {row["job"]: row for row in rows}


SUMS: dict[str, Any] = {name: Sum(name) for name in COUNTS} | {
    # When items that wait for another try come round, as their chunks know it.
    "next_try": Min("due", filter=Q(finished=False)),
    "last_try": Max("due", filter=Q(finished=False)),
}


def _counted(job: Job, row: dict[str, Any]) -> Progress:
    counts: dict[str, Any] = {name: row.get(name) or 0 for name in COUNTS}
    processed = sum(counts.values()) - counts["deferred"]
    return Progress(total=job.total, prepared=job.prepared, processed=processed, **counts)


def _with_average(figures: Progress) -> Progress:
    """Over the time that the job was at work, where that is known."""
    ran, done, points = figures.elapsed_seconds, figures.processed, figures.course
    if len(points) > 1 and points[-1][0] > points[0][0]:
        ran, done = points[-1][0] - points[0][0], points[-1][1] - points[0][1]
    return replace(figures, rate_per_second=done / ran if ran and done else None)


def _with_speed(job: Job, figures: Progress, row: dict[str, Any], around: Around, *, steady: bool) -> Progress:
    """Rate and time left; the latter only where the job is `steady`, that is moves as it will go on to move."""
    course = around.course
    if course is None:
        return _with_average(figures)
    here = (course.worked + around.workforce.seconds_since(course.sampled_at, job.queue), figures.processed)
    recent = Recent(course.fresh, here)
    eta = None
    if steady and figures.unprocessed:
        eta = recent.left(figures.unprocessed, limit=job.rate_per_second)
        if eta is not None and not _retries_fit(figures, row.get("last_try"), around.workforce.now + eta.low):
            eta = None
    return replace(figures, rate_per_second=recent.rate, eta=eta, course=(*course.points, here))


def _retries_fit(figures: Progress, last_try: datetime | None, end: float) -> bool:
    """Whether items that wait for another try say nothing against that end: they are few, and due before it."""
    if not figures.deferred:
        return True
    few = figures.deferred * 10 <= (figures.unprocessed or 0)
    return few and (last_try is None or last_try.timestamp() < end)


def _ended(job: Job, figures: Progress, row: dict[str, Any], around: Around) -> Progress:
    kinds = {kind: n - around.taken.get(kind, 0) for kind, n in _retryable(job, row).items()}
    figures = replace(figures, left={kind: n for kind, n in kinds.items() if n > 0})
    words, _ = wording.state(job, ahead=None, about=None, reason="", retrying=False)
    story, advice = wording.ended(job, figures)
    return replace(figures, words=words, story=story, advice=advice)


def _paused_for(jobs: list[Job]) -> dict[UUID, str]:
    """Why each of these stands still, where anybody or anything gave a reason."""
    if not jobs:
        return {}
    asked = Event.objects.filter(job__in=jobs, kind=EventKind.PAUSE_REQUESTED).order_by("job", "-pk").distinct("job")
    return dict(asked.values_list("job", "detail"))


def _retryable(job: Job, row: dict[str, Any]) -> dict[str, int]:
    """Of an ended job, by kind: how many items there are that a retry might take."""
    figures = _counted(job, row)
    counted = {
        lineage.FAILED: figures.failed,
        lineage.UNPROCESSED: (job.total or 0) - figures.processed,
        lineage.IN_DOUBT: figures.in_doubt,
    }
    return {kind: count for kind, count in counted.items() if count > 0}


def allowed(job: Job, figures: Progress) -> dict[str, bool]:
    """Which controls the job's state allows."""
    state = JobState(job.state)
    return {
        "cancellable": state in ACTIVE - {JobState.CANCELLING},
        "pausable": state in WORKABLE,
        "resumable": state == JobState.PAUSED,
        "retryable": bool(figures.left),
    }
