"""What lists cost where there is much: PostgreSQL goes along an index, and never through a whole table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bulkops.models import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.api.conftest import Program

JOBS, OWN_EVERY, OUTCOMES = 12_000, 40, 100_000
LARGE = ("bulkops_job", "bulkops_outcome", "bulkops_event")
# The column list is what the test's own job has, so that a new column needs no word here.
_MORE_JOBS = """
INSERT INTO bulkops_job ({columns})
SELECT {values} FROM bulkops_job one, generate_series(1, %(jobs)s) n WHERE one.id = %(like)s
"""
_CHANGED = {
    "id": "gen_random_uuid()",
    "slot": "NULL",
    "name": "'job ' || n",
    "owner_id": "CASE WHEN n %% %(every)s = 0 THEN %(owner)s ELSE %(other)s END",
    "state": "CASE WHEN n %% 100 = 0 THEN 'failed' ELSE 'completed' END",
    "created_at": "one.created_at - n * interval '1 minute'",
}
_OUTCOMES = """
INSERT INTO bulkops_outcome (job_id, position, state, attempt, finished_at)
SELECT %s, n, CASE WHEN n %% 1000 = 0 THEN 'failed' ELSE 'succeeded' END, 1, now() FROM generate_series(0, %s) n
"""
_EVENTS = "INSERT INTO bulkops_event (job_id, at, kind, from_state, to_state, detail) "
_EVENTS += "SELECT id, now(), 'started', '', '', '' FROM bulkops_job"


@pytest.fixture
def much(job: Job, owner: Any, stranger: Any) -> Job:
    """Twelve thousand jobs, of which three hundred are the owner's; one of them has a hundred thousand outcomes."""
    columns = [field.column for field in Job._meta.concrete_fields]
    values = ", ".join(_CHANGED.get(name, f'one."{name}"') for name in columns)
    named = ", ".join(f'"{name}"' for name in columns)
    numbers = {"jobs": JOBS, "like": job.pk, "every": OWN_EVERY, "owner": owner.pk, "other": stranger.pk}
    with connection.cursor() as cursor:
        cursor.execute(_MORE_JOBS.format(columns=named, values=values), numbers)
        # New files: what other tests have left of theirs in an index makes it look dear.
        cursor.execute("TRUNCATE bulkops_outcome")
        cursor.execute(_OUTCOMES, [job.pk, OUTCOMES - 1])
        cursor.execute(_EVENTS)
        cursor.execute("ANALYZE")
    return job


def plans(ask: Callable[[], Any]) -> str:
    """How PostgreSQL would run each query of a call."""
    with CaptureQueriesContext(connection) as sent:
        assert ask().status_code == 200
    told = []
    for one in list(sent):
        if one["sql"].startswith("SELECT"):
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN " + one["sql"])
                told += [one["sql"], *(row for (row,) in cursor.fetchall())]
    return "\n".join(told)


CALLS = (
    "",
    "?page=3",
    "?state=failed&state=completed",
    "?operation=note",
    "?ordering=name",
    "?created_after=2020-01-01T00:00:00Z",
    "summary/",
    "{}/",
    "{}/items/?after=50000",
    "{}/items/?state=failed&after=50000",
    "{}/items/?state=in_doubt",
    "{}/events/",
)


def test_pages_are_read_along_an_index(mine: Program, program: Callable[..., Program], colleague: Any, much: Job):
    for rest in CALLS:
        read = plans(lambda rest=rest: mine.get(f"/api/jobs/{rest.format(much.pk)}"))
        assert not [table for table in LARGE if f"Seq Scan on {table} " in read], read
        assert "DISTINCT" not in read, read  # which sorts all that is found before a page is cut out
    everybodys = program(colleague)
    for query in ("", "?page=2", "?state=completed"):
        read = plans(lambda query=query: everybodys.get(f"/api/jobs/{query}"))
        assert "Scan using bulkops_job_newest" in read, read
