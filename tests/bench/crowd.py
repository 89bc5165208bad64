"""Fills the database as years of use would: ten thousand jobs, and one whose million items all have an outcome."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.utils import timezone

from bulkops import services
from bulkops.models import Job

FEW, MANY = "f" * 12, "a" * 12
"""Two groups of failures."""
FEW_EVERY, MANY_EVERY = 10_000, 7

_OUTCOMES = """
INSERT INTO bulkops_outcome (job_id, position, state, attempt, error_code, message, finished_at, fingerprint)
SELECT %(job)s, n, CASE WHEN fingerprint <> '' THEN 'failed' WHEN n %% 1000 = 5 THEN 'skipped'
    WHEN n %% 100000 = 8 THEN 'in_doubt' ELSE 'succeeded' END, 1,
    CASE WHEN fingerprint <> '' THEN 'ValueError' ELSE '' END,
    CASE WHEN fingerprint <> '' THEN 'ValueError: ' || n || ' is no ticket number.' ELSE '' END, clock_timestamp(),
    fingerprint
FROM generate_series(0, %(items)s - 1) n, LATERAL (
    SELECT CASE WHEN n %% %(few)s = 9 THEN %(few_name)s WHEN n %% %(many)s = 3 THEN %(many_name)s ELSE '' END
        AS fingerprint
) one
"""
_COUNTS = """
UPDATE bulkops_chunk c SET cursor = c.size, finished = true, succeeded = o.succeeded, skipped = o.skipped,
    failed = o.failed, in_doubt = o.in_doubt
FROM (
    SELECT k.id, count(*) FILTER (WHERE o.state = 'succeeded') AS succeeded,
        count(*) FILTER (WHERE o.state = 'skipped') AS skipped, count(*) FILTER (WHERE o.state = 'failed') AS failed,
        count(*) FILTER (WHERE o.state = 'in_doubt') AS in_doubt
    FROM bulkops_chunk k JOIN bulkops_outcome o
        ON o.job_id = k.job_id AND o.position >= k.start AND o.position < k.start + k.size
    WHERE k.job_id = %(job)s GROUP BY k.id
) o WHERE c.id = o.id
"""
_GROUPS = """
INSERT INTO bulkops_failuregroup (job_id, fingerprint, shard, count, error_code, words, samples)
SELECT job_id, fingerprint, 0, count(*), 'ValueError', 'ValueError: … is no ticket number.', (array_agg(position))[1:3]
FROM bulkops_outcome WHERE job_id = %(job)s AND fingerprint <> '' GROUP BY job_id, fingerprint
"""
_OWN = {
    "id": "gen_random_uuid()",
    "slot": "NULL",
    "name": "'Job ' || n",
    "tags": "ARRAY['week-' || n %% 50]",
    "owner_id": "CASE WHEN n %% 2 = 0 THEN %(owner)s ELSE %(other)s END",
    "state": "CASE WHEN n %% 100 = 0 THEN 'failed' ELSE 'completed' END",
    "created_at": "now() - interval '100 days' + n * interval '10 minutes'",
}


def long_job(owner: Any, items: int) -> Job:
    """One that has ended, with an outcome for each of so many items."""
    job = services.submit(user=owner, operation="bench-unserved", items=range(items), name="The long one")
    values = {"job": job.pk, "items": items, "few": FEW_EVERY, "many": MANY_EVERY, "few_name": FEW, "many_name": MANY}
    with connection.cursor() as cursor:
        for sql in (_OUTCOMES, _COUNTS, _GROUPS):
            cursor.execute(sql, values)
    ended = {
        "state": "completed_with_errors",
        "slot": None,
        "started_at": timezone.now(),
        "finished_at": timezone.now(),
    }
    Job.objects.filter(pk=job.pk).update(**ended)
    job.refresh_from_db()
    return job


def many_jobs(like: Job, other: Any, jobs: int) -> None:
    """So many ended ones, half of them the other person's, without items."""
    columns = [field.column for field in Job._meta.concrete_fields]
    values = ", ".join(_OWN.get(name, f'one."{name}"') for name in columns)
    named = ", ".join(f'"{name}"' for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO bulkops_job ({named}) SELECT {values} FROM bulkops_job one, generate_series(1, %(jobs)s) n"
            " WHERE one.id = %(like)s",
            {"jobs": jobs, "like": like.pk, "owner": like.owner_id, "other": other.pk},
        )
