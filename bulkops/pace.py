"""Keeps how fast a job is: samples of its work, each the seconds so far and the items processed by then.

One row a job. A sample is taken where the job's row is locked anyway: at a slice's end and where its state changes. It
counts what all workers of the job have committed by then, so slices that overlap need no care, and what a killed worker
or the code before this did is in the next one. The seconds run while the job is at work, its waits for a turn included:
they stand still while it is paused, and while no worker serves its queue.

The row stays small: of the older samples those are dropped that leave the smallest gaps. The latest ones all stay, and
tell what is to come (see estimate.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import connection
from django.db.models import Case, F, FloatField, Func, When

from bulkops.models import Job, Pace
from bulkops.states import ACTIVE, STOPPING, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from bulkops.estimate import Point

AT_LEAST_SECONDS = 1.0
"""Slices may be shorter and many; samples are not."""
KEPT, MOST, LATEST = 120, 160, 48
"""A row of more than `MOST` samples is thinned out to `KEPT`, its `LATEST` untouched."""
AT_WORK = frozenset({JobState.RUNNING}) | STOPPING

# One round trip at the end of each slice: what was counted, the seconds since the last sample less those without any
# worker, and the row's new end, or its beginning where the code before this had begun the job. Nothing is counted where
# the last sample is too young.
_SAMPLE = """
WITH known AS MATERIALIZED (
    SELECT sampled_at FROM bulkops_pace WHERE job_id = %(job)s
), counted AS MATERIALIZED (
    SELECT clock_timestamp() AS at, sum(succeeded + skipped + failed + in_doubt)::int AS items
    FROM bulkops_chunk
    WHERE job_id = %(job)s
        AND NOT EXISTS (SELECT FROM known WHERE sampled_at > clock_timestamp() - %(least)s * interval '1 second')
    HAVING count(*) > 0
), served AS MATERIALIZED (
    SELECT min(started_at) FILTER (WHERE alive_until > clock_timestamp()) AS since,
        max(alive_until) FILTER (WHERE alive_until <= clock_timestamp()) AS until
    FROM bulkops_cluster WHERE %(queue)s = ANY(queues)
), worked AS MATERIALIZED (
    SELECT greatest(extract(epoch FROM at - sampled_at - greatest(
        least(since, at) - greatest(sampled_at, until), interval '0'
    )), 0)::float8 AS seconds
    FROM known, counted, served
)
INSERT INTO bulkops_pace AS pace (job_id, seconds, items, sampled_at, fresh_from)
SELECT %(job)s, ARRAY[coalesce((SELECT seconds FROM worked), 0)], ARRAY[items], at, 0 FROM counted
ON CONFLICT (job_id) DO UPDATE SET
    seconds = pace.seconds
        || round((pace.seconds[cardinality(pace.seconds)] + excluded.seconds[1])::numeric, 3)::float8,
    items = pace.items || excluded.items,
    sampled_at = excluded.sampled_at
RETURNING cardinality(seconds)
"""


# An element of an array by its place counted from the end: the ORM has no such index.
_GO_ON = """
UPDATE bulkops_pace SET sampled_at = clock_timestamp(), fresh_from = seconds[cardinality(seconds)] WHERE job_id = %s
"""


def sample(job: Job, at_least: float = AT_LEAST_SECONDS) -> None:
    """Note how far the job is, unless the last sample is younger than that, in seconds. Caller holds the job's lock."""
    if job.started_at is None:
        return
    with connection.cursor() as cursor:
        cursor.execute(_SAMPLE, {"job": job.pk, "queue": job.queue, "least": at_least})
        row = cursor.fetchone()
    if row is not None and row[0] > MOST:
        _thin_out(job.pk)


def note_move(job: Job, origin: JobState) -> None:
    """Start or stop the clock of work where the job's state has just changed. Caller holds the job's lock."""
    if origin == JobState.PAUSED and job.state in AT_WORK:
        _go_on(job)
    elif origin in ACTIVE and (origin in AT_WORK) != (job.state in AT_WORK):
        sample(job, at_least=0.0)


def begin_anew(job: Job) -> None:
    """What was so far tells nothing of what is to come: the speed limit is another. Caller holds the job's lock."""
    if job.state in AT_WORK:
        sample(job, at_least=0.0)
        _go_on(job)


def _go_on(job: Job) -> None:
    """From here on, with a clock that stood still until now."""
    with connection.cursor() as cursor:
        cursor.execute(_GO_ON, [job.pk])


def _thin_out(job_id: UUID) -> None:
    pace = Pace.objects.get(pk=job_id)
    points = list(zip(pace.seconds, pace.items, strict=True))
    older, latest = points[:-LATEST], points[-LATEST:]
    while len(older) + len(latest) > KEPT:
        # The first one is where the job began.
        gaps = [(older[n + 1][0] - older[n - 1][0], n) for n in range(1, len(older) - 1)]
        del older[min(gaps)[1]]
    seconds, items = zip(*older, *latest, strict=True)
    Pace.objects.filter(pk=job_id).update(seconds=list(seconds), items=list(items))


# -- reading


@dataclass(frozen=True)
class Course:
    """How a job went until its last sample."""

    points: tuple[Point, ...]
    sampled_at: datetime
    fresh_from: float

    @classmethod
    def of(cls, row: Pace) -> Course:
        """As the row has it."""
        return cls(tuple(zip(row.seconds, row.items, strict=True)), row.sampled_at, row.fresh_from)

    @property
    def worked(self) -> float:
        """Seconds at work."""
        return self.points[-1][0]

    @property
    def fresh(self) -> list[Point]:
        """Those that tell what is to come."""
        return [point for point in self.points if point[0] >= self.fresh_from]


def courses(jobs: Iterable[UUID]) -> dict[UUID, Course]:
    """The courses of many jobs, those that have ended by their first and last points alone; one query, or none."""
    asked = list(jobs)
    if not asked:
        return {}
    rows = Pace.objects.filter(job__in=asked).annotate(
        told_seconds=_all_or_ends("seconds"), told_items=_all_or_ends("items")
    )
    found = rows.values_list("job", "told_seconds", "told_items", "sampled_at", "fresh_from")
    return {
        job: Course(tuple((second, int(item)) for second, item in zip(seconds, items, strict=True)), at, fresh)
        for job, seconds, items, at, fresh in found
    }


def _all_or_ends(column: str) -> Case:
    # A list may show hundreds of jobs, whose samples nobody sees.
    ends = "ARRAY[(%(expressions)s)[1], (%(expressions)s)[cardinality(%(expressions)s)]]::float8[]"
    numbers = ArrayField(FloatField())
    active = When(job__state__in=sorted(ACTIVE), then=Func(F(column), template="%(expressions)s::float8[]"))
    return Case(active, default=Func(F(column), template=ends), output_field=numbers)
