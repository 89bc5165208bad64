"""A job's place among those of its queue that wait for their first worker, and about how long that takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from django.db import connection

from bulkops.conf import conf
from bulkops.states import JobState

if TYPE_CHECKING:
    from uuid import UUID

    from bulkops.models import Job

UNSTARTED = frozenset({JobState.QUEUED, JobState.PREPARING})

# Counted where the turns are: fetching them took 151 ms a poll with 10,000 waiting jobs, this a tenth of it.
WAITING = """
    SELECT t.job_id, row_number() OVER (PARTITION BY j.queue ORDER BY min(t.due), t.job_id) - 1 AS place
    FROM bulkops_turn t JOIN bulkops_job j ON j.id = t.job_id
    WHERE t.holder_id IS NULL AND t.due IS NOT NULL AND j.started_at IS NULL
    GROUP BY t.job_id, j.queue
"""
PLACE = f"(SELECT place FROM ({WAITING}) waiting WHERE job_id = bulkops_job.id)"  # noqa: S608 - constants
"""One job's, within a query over jobs."""
_PLACES = f"SELECT job_id, place FROM ({WAITING}) waiting WHERE job_id = ANY(%s::uuid[])"  # noqa: S608

# Within a query over jobs: the seconds that an item takes a worker in the slowest job that workers of the same queue
# have in hand, its waits for a turn included; NULL where nothing is known of any.
SLOWEST = """
(SELECT max((p.seconds[cardinality(p.seconds)] - p.seconds[1]) * j.parallelism
    / greatest(p.items[cardinality(p.items)] - p.items[1], 1))
FROM bulkops_turn t JOIN bulkops_job j ON j.id = t.job_id JOIN bulkops_pace p ON p.job_id = j.id
WHERE t.holder_id IS NOT NULL AND j.queue = bulkops_job.queue)
"""


def places(jobs: list[Job]) -> dict[UUID, int]:
    """How many unstarted jobs of the same queue are due before each of these; without those that wait for nothing."""
    if not jobs:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_PLACES, [[str(job.pk) for job in jobs]])
        return dict(cursor.fetchall())


def about_seconds(ahead: int, workers: int | None, slowest: float | None) -> float | None:
    """How long a job waits that has so many others ahead of it; None where that cannot be told.

    Each of them, and what is in the workers' hands, takes a slice; further slices wait behind. An item may be longer
    than a slice: where one in hand is known to be, nobody knows.
    """
    if not workers or (slowest or 0.0) > conf().slice_seconds:
        return None
    return math.ceil((ahead + 1) / workers) * conf().slice_seconds
