"""What the jobs' items came to, over all jobs there ever were: ended ones in running totals, active ones as they stand.

A job's counts pass from one to the other in the transaction that ends it, and are read in one statement. So a total
never misses a job nor has it twice, and reading costs the chunks of active jobs, never those of all times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection
from django.db.models import F, Sum

from bulkops import tallies
from bulkops.models import Chunk
from bulkops.states import ACTIVE, OutcomeState
from bulkops.tallies import Count

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from bulkops.models import Job

ITEMS, IN_DOUBT, JOBS_ENDED = "items", "items_in_doubt", "jobs_ended"
SETTLED = (OutcomeState.SUCCEEDED, OutcomeState.SKIPPED, OutcomeState.FAILED)
"""What is never taken back, in the order of the counts. What is in doubt is settled later."""

# One snapshot for both halves, so SQL: the ORM cannot unite a sum over chunks with one over arrays.
_READ = f"""
SELECT name, labels, counts, microseconds FROM ({tallies.TOTALS}) totals
UNION ALL
SELECT one.name, ARRAY[operation]::varchar[], one.counts, 0
FROM (
    SELECT j.operation, sum(c.succeeded)::bigint AS succeeded, sum(c.skipped)::bigint AS skipped,
        sum(c.failed)::bigint AS failed, sum(c.in_doubt)::bigint AS in_doubt
    FROM bulkops_job j JOIN bulkops_chunk c ON c.job_id = j.id
    WHERE j.state IN %(active)s
    GROUP BY j.operation
) active, LATERAL (VALUES
    ('{ITEMS}', ARRAY[succeeded, skipped, failed]), ('{IN_DOUBT}', ARRAY[in_doubt])
) AS one (name, counts)
"""  # noqa: S608 - made of constants


def note_end(job: Job) -> None:
    """Count the job and its items, in the transaction that ends it."""
    sums = Chunk.objects.filter(job=job).aggregate(
        **{state.value: Sum(state.value, default=0) for state in (*SETTLED, OutcomeState.IN_DOUBT)}
    )
    counted = [
        Count(JOBS_ENDED, (job.operation, job.state), (1,)),
        Count(ITEMS, (job.operation,), tuple(sums[state.value] for state in SETTLED)),
    ]
    if sums[OutcomeState.IN_DOUBT.value]:
        counted.append(Count(IN_DOUBT, (job.operation,), (sums[OutcomeState.IN_DOUBT.value],)))
    tallies.add(*counted)


def note_settled(job: Job, to: OutcomeState) -> None:
    """Count an item that was in doubt as what it was after all, in the same transaction. Caller holds the job's lock.

    An active job's are counted where they stand.
    """
    if job.state not in ACTIVE:
        settled = tuple(int(state == to) for state in SETTLED)
        tallies.add(Count(ITEMS, (job.operation,), settled), Count(IN_DOUBT, (job.operation,), (-1,)))


def note_pruned(jobs: Iterable[UUID]) -> None:
    """Nobody will settle what is in doubt in these jobs; in the transaction that takes them away from everybody."""
    left = Chunk.objects.filter(job__in=list(jobs), in_doubt__gt=0).values_list(F("job__operation"))
    tallies.add(*(Count(IN_DOUBT, (name,), (-n,)) for name, n in left.annotate(n=Sum("in_doubt")).order_by()))


def read() -> list[Count]:
    """All totals; one query, whose cost grows with the active jobs and not with what has ended."""
    with connection.cursor() as cursor:
        cursor.execute(_READ, {"active": tuple(sorted(ACTIVE))})
        rows = cursor.fetchall()
    found: dict[tuple[str, tuple[str, ...]], Count] = {}
    for name, labels, counts, microseconds in rows:
        key = name, tuple(labels)
        known = found.get(key)
        if known is not None:
            counts = [a + b for a, b in zip(known.counts, counts, strict=True)]
            microseconds += known.microseconds
        found[key] = Count(*key, tuple(counts), microseconds)
    return [found[key] for key in sorted(found)]
