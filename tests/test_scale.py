"""What scale.md says can be done to the tables can be done, while jobs run."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.utils import timezone

from bulkops import job_ids, retention, services
from bulkops.clock import from_now
from bulkops.models import Job, Outcome
from bulkops.verify import verify
from tests.sample.operations import Telling
from tests.test_readme import ROOT, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDS, PROMISE, CHANGE, MAY_GO, DROP, FREEZE, CHURN = (
    re.sub(r"(?m)^  ", "", sql) for sql in blocks((ROOT / "bulkops/docs/scale.md").read_text(), "sql")
)
BACK = """
DROP FUNCTION IF EXISTS bulkops_first_id;
ALTER TABLE bulkops_outcome DETACH PARTITION bulkops_outcome_sofar;
DROP TABLE bulkops_outcome;
ALTER TABLE bulkops_outcome_sofar DROP CONSTRAINT bulkops_outcome_sofar;
ALTER TABLE bulkops_outcome_sofar RENAME TO bulkops_outcome;
ALTER INDEX bulkops_outcome_sofar_pkey RENAME TO bulkops_outcome_pkey;
ALTER INDEX bulkops_outcome_sofar_notable RENAME TO bulkops_outcome_notable;
ALTER INDEX bulkops_outcome_sofar_alike RENAME TO bulkops_outcome_alike;
ALTER TABLE bulkops_outcome RESET
    (autovacuum_vacuum_insert_scale_factor, autovacuum_vacuum_insert_threshold, autovacuum_freeze_min_age);
"""


def run(sql: str) -> Any:
    """As psql runs it; the answer's first value, if there is one."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else None


def partitions() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, count(*) FROM bulkops_outcome GROUP BY 1")
        return dict(cursor.fetchall())


def frozen_as_they_come() -> int:
    """Of how many tables the outcomes are frozen at once."""
    told = "autovacuum_freeze_min_age=0"
    return run(f"SELECT count(*) FROM pg_class WHERE relname LIKE 'bulkops_outcome%' AND '{told}' = ANY (reloptions)")


@pytest.fixture
def partitioned(worker: Any) -> Iterator[Callable[[], None]]:
    """Makes partitions, once there are prepared statements that know the table without them."""
    done: list[str] = []

    def change() -> None:
        for sql in (PROMISE, CHANGE):
            run(sql)
            done.append(sql)

    yield change
    if len(done) == 2:
        run(BACK)


def in_months(months: int) -> datetime:
    """The middle of a month to come."""
    now = timezone.now()
    year, month = divmod(now.year * 12 + now.month - 1 + months, 12)
    return datetime(year, month + 1, 15, tzinfo=UTC)


@pytest.mark.slow
def test_jobs_run_on_and_are_pruned_with_partitions_by_their_age(partitioned, worker, owner, monkeypatch):
    assert run(IDS) == 0
    items = ["fine", "later this", "never that", "fine"]
    before = services.submit(user=owner, operation="telling", items=items)
    worker.finish(before)
    partitioned()
    month = in_months(3)
    monkeypatch.setattr(job_ids, "time", SimpleNamespace(time_ns=lambda: int(month.timestamp() * 1e9)))
    after = services.submit(user=owner, operation="telling", items=items)
    worker.finish(after)
    monkeypatch.setattr(Telling, "mended", {"never that"})
    again = services.retry(job=after, actor=owner)
    worker.finish(again)
    assert (before.state, after.state, again.state) == ("completed_with_errors",) * 3
    assert all(verify(job.pk).agrees for job in (before, after, again))
    name = f"bulkops_outcome_{month:%Y_%m}"
    assert partitions() == {"bulkops_outcome_sofar": 4, name: 6}

    ends = in_months(4).replace(day=1)
    may_go = MAY_GO.replace("2027-02-01", str(ends))
    assert run(may_go) == 3
    Job.objects.update(finished_at=from_now(-100 * 86_400), created_at=from_now(-100 * 86_400))
    Job.objects.filter(pk=again.pk).update(finished_at=timezone.now())
    assert run(may_go) == 2, "a job's retry is younger"
    Job.objects.update(finished_at=from_now(-100 * 86_400))
    assert run(may_go) == 0
    run(DROP.replace("bulkops_outcome_2027_01", name))
    assert retention.prune(90).jobs == 3
    assert not Outcome.objects.exists()


def test_an_index_is_taken_over_and_not_built_anew(partitioned):
    run("CREATE TEMP TABLE before AS SELECT oid FROM pg_class WHERE relname LIKE 'bulkops_outcome%' AND relkind = 'i'")
    partitioned()
    assert run("SELECT count(*) FROM pg_index WHERE indrelid = 'bulkops_outcome_sofar'::regclass") == 3
    assert run("SELECT count(*) FROM pg_inherits JOIN before ON before.oid = inhrelid") == 3
    run("DROP TABLE before")


@pytest.mark.django_db
def test_vacuum_is_told_in_words_that_it_knows():
    run(FREEZE)
    run(CHURN)
    assert frozen_as_they_come() == 1


def test_every_partition_is_told_too(partitioned):
    partitioned()
    run(FREEZE)
    assert frozen_as_they_come() == 62, "60 months, what was there before, and the rest"


@pytest.mark.django_db
def test_a_partition_begins_with_the_first_id_of_its_moment():
    run(PROMISE.partition("DO $$")[0])
    moment = time.time_ns() // 1_000_000
    made = job_ids.new()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT %s >= bulkops_first_id(to_timestamp(%s)), %s < bulkops_first_id(to_timestamp(%s))",
            [made, moment / 1000 - 0.001, made, moment / 1000 + 10],
        )
        assert cursor.fetchone() == (True, True)
