"""How long jobs stood still, from the moments of their commits, and whether that was longer than a blow may cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterable

WORKER_SECONDS = 3.0
"""Promised: the work of a killed worker goes on within this."""
HOST_SECONDS = 15.0
"""Promised: the work of a lost host goes on within this."""
MARGIN_SECONDS = 3.0
"""On top of what is promised: a slice of somebody else's job may go first, and the machine is busy."""
CAUSES = ("host", "database", "frozen worker", "worker")
"""The gravest first: a standstill is put down to the gravest of what hit the job."""
NOTICED_SECONDS = 0.25
"""A shorter time without a commit is no standstill."""

# From its creation to its end: an item committed is a moment at which the job moved.
_GAPS = """
WITH moments AS (
    SELECT job_id, finished_at AS moment FROM bulkops_outcome
    UNION ALL SELECT id, created_at FROM bulkops_job
    UNION ALL SELECT id, finished_at FROM bulkops_job WHERE finished_at IS NOT NULL
), steps AS (
    SELECT job_id, moment, lag(moment) OVER (PARTITION BY job_id ORDER BY moment) AS before FROM moments
)
SELECT job_id, extract(epoch FROM before)::float8, extract(epoch FROM moment)::float8 FROM steps
WHERE moment - before >= %s * interval '1 second' ORDER BY moment
"""


@dataclass
class Blow:
    """Something that was done to the product, and how long it may hold up the jobs that it hit."""

    kind: str
    at: float
    """By `time.time()`, which is the database's clock too: both are on one machine."""
    seconds: float
    cause: str
    """One of `CAUSES`."""
    jobs: set[UUID] = field(default_factory=set)
    all_jobs: bool = False

    def hits(self, job: UUID) -> bool:
        """Whether the job may be held up by it."""
        return self.all_jobs or job in self.jobs


@dataclass(frozen=True)
class Standstill:
    """A time in which a job that could have moved did not."""

    job: UUID
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def blows(self, all_blows: Iterable[Blow]) -> list[Blow]:
        """Those that may have caused or lengthened it."""
        return [
            blow
            for blow in all_blows
            if blow.hits(self.job) and blow.at < self.end and blow.at + blow.seconds > self.begin
        ]

    def cause(self, all_blows: Iterable[Blow]) -> str:
        """Its gravest."""
        causes = {blow.cause for blow in self.blows(all_blows)}
        return next((cause for cause in CAUSES if cause in causes), "waiting")

    def excess(self, all_blows: Iterable[Blow]) -> float:
        """By how many seconds it was longer than its blows explain; negative: it was not.

        Each blow allows the job its time from then on: one may hit while another's is not over.
        """
        reach = max([self.begin + WORKER_SECONDS, *(blow.at + blow.seconds for blow in self.blows(all_blows))])
        return self.end - reach - MARGIN_SECONDS


def standstills() -> list[Standstill]:
    """Of every job in the database."""
    with connection.cursor() as cursor:
        cursor.execute(_GAPS, [NOTICED_SECONDS])
        return [Standstill(*row) for row in cursor.fetchall()]


def share(values: list[float], percent: int) -> float:
    """The value that so many percent do not exceed; 0 where there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0
