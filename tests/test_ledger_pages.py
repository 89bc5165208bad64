"""Pages of a large job's items cost what those of a small one do: no page reads much more than it shows."""

from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bulkops import ledger_pages
from bulkops.models import Job, Outcome

ITEMS, CHUNK = 200_000, 1_000
FEW, MANY = "f" * 12, "a" * 12

# Every second item failed, in the way of many; but from the middle on all did, and one of a thousand in the way of few.
_OUTCOMES = """
INSERT INTO bulkops_outcome (job_id, position, state, attempt, error_code, message, finished_at, fingerprint)
SELECT %(job)s, n, state, 1, '', 'words', now(), CASE
    WHEN state <> 'failed' THEN '' WHEN n %% 1000 = 999 THEN %(few)s ELSE %(many)s END
FROM generate_series(0, %(items)s - 1) n, LATERAL (
    SELECT CASE
        WHEN n = 150000 THEN 'in_doubt' WHEN n %% 2 = 1 OR n >= 100000 THEN 'failed' ELSE 'succeeded'
    END AS state
) one
"""
_CHUNKS = """
INSERT INTO bulkops_chunk (job_id, number, start, size, cursor, succeeded, skipped, failed, in_doubt, deferred, epoch,
    stop, finished)
SELECT job_id, position / %(chunk)s, min(position), %(chunk)s, %(chunk)s,
    count(*) FILTER (WHERE state = 'succeeded'), 0,
    count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'in_doubt'), 0, 1, false, true
FROM bulkops_outcome WHERE job_id = %(job)s GROUP BY job_id, position / %(chunk)s
"""


@pytest.fixture
def large(db, owner):
    """A job of 200,000 outcomes, which autovacuum has analysed as it would soon after."""
    job = Job.objects.create(operation="note", owner=owner, state="completed_with_errors", total=ITEMS)
    Job.objects.filter(pk=job.pk).update(finished_at=timezone.now())
    values = {"job": job.pk, "items": ITEMS, "chunk": CHUNK, "few": FEW, "many": MANY}
    with connection.cursor() as cursor:
        cursor.execute(_OUTCOMES, values)
        cursor.execute(_CHUNKS, values)
        cursor.execute("ANALYZE bulkops_outcome, bulkops_chunk")
    return job


def nodes(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def looked_at(sql):
    """Rows that a query of outcomes read; it must find them by index and in their order."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        found = cursor.fetchone()[0]
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    kinds = {node["Node Type"] for node in nodes(plan)}
    assert not {kind for kind in kinds if kind in {"Seq Scan", "Sort", "Incremental Sort"} or "Bitmap" in kind}, plan
    return sum(
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in nodes(plan)
        if not node.get("Plans")
    )


@pytest.mark.slow
def test_no_page_reads_much_more_than_it_shows(large):
    pages = [
        ({}, 101),
        ({"after": 199_800}, 101),
        ({"state": "failed"}, 101),
        ({"state": "failed", "after": 150_000}, 101),
        ({"state": "in_doubt"}, 1),
        ({"state": "skipped"}, 0),
        ({"fingerprint": MANY, "after": 120_000}, 101),
        ({"fingerprint": FEW}, 101),
        ({"fingerprint": FEW, "after": 198_999}, 1),
        ({"state": "succeeded"}, 101),
        ({"state": "succeeded", "after": 99_990}, 4),
        ({"state": "succeeded", "after": 100_000}, 0),
    ]
    for wanted, number in pages:
        with CaptureQueriesContext(connection) as sent:
            shown, more = ledger_pages.page(large, **wanted, size=100)
        assert len(shown) + more == number, wanted
        of_outcomes = [one["sql"] for one in sent if "bulkops_outcome" in one["sql"]]
        # Those that succeeded have no index of their own; half of the items among which they are looked for did.
        assert sum(looked_at(sql) for sql in of_outcomes) <= 2 * number + 10, wanted


@pytest.mark.slow
def test_those_that_succeeded_are_found_among_a_million_failures(db, owner):
    """Where they are, the chunks say: in the first and the last of them, and alone in each of the middle ones."""
    job = Job.objects.create(operation="note", owner=owner, state="completed_with_errors", total=ITEMS)
    lone = {0, 5, 1_500, 2_500, 3_999}
    Outcome.objects.bulk_create(
        Outcome(job=job, position=n, state="succeeded" if n in lone else "failed", finished_at=timezone.now())
        for n in range(4_000)
    )
    with connection.cursor() as cursor:
        cursor.execute(_CHUNKS, {"job": job.pk, "chunk": 500})
    assert [one.position for one in ledger_pages.page(job, state="succeeded", size=100)[0]] == sorted(lone)
    shown, more = ledger_pages.page(job, state="succeeded", after=0, size=2)
    assert ([one.position for one in shown], more) == ([5, 1_500], True)
    shown, more = ledger_pages.page(job, state="succeeded", after=1_500, size=2)
    assert ([one.position for one in shown], more) == ([2_500, 3_999], False)


def test_one_item_is_found_by_its_position_and_a_group_has_only_failures(large):
    with CaptureQueriesContext(connection) as sent:
        assert ledger_pages.at(large, 150_000).state == "in_doubt"
    assert looked_at(sent[0]["sql"]) == 1
    assert ledger_pages.at(large, ITEMS) is None
    assert ledger_pages.page(large, state="succeeded", fingerprint=FEW, size=10) == ([], False)
    assert ledger_pages.page(large, state="failed", fingerprint=FEW, size=1)[1]
