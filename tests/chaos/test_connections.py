"""Connections cut by the server at any moment: work comes back by itself, and nothing is lost or doubled."""

from __future__ import annotations

import random
import time

import pytest
from django.db import connection

from bulkops import services
from bulkops.models import Outcome
from bulkops.states import JobState
from bulkops.verify import verify
from tests.clusters import wait_for
from tests.sample.models import Account

pytestmark = pytest.mark.slow

ITEMS = 1_500


def cut(*, all_of_them: bool) -> int:
    """Terminate sessions other than this one: one at random, or every one, as a restart of the server would."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        pids = [pid for (pid,) in cursor.fetchall()]
        chosen = pids if all_of_them else random.sample(pids, min(1, len(pids)))
        cursor.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [chosen])
    return len(chosen)


def test_sessions_terminated_over_and_over_cost_no_item(owner, cluster):
    Account.objects.bulk_create([Account(number=number) for number in range(ITEMS)])
    job = services.submit(user=owner, operation="deposit", params={"amount": 1, "pause": 0.004}, parallelism=2)
    cuts, ends = 0, time.monotonic() + 60
    while job.is_active and time.monotonic() < ends:
        if time.monotonic() < ends - 48:
            cuts += cut(all_of_them=random.random() < 0.2)
        time.sleep(random.uniform(0.05, 0.6))
        job.refresh_from_db()
    print(f"{cuts} sessions cut")
    assert cuts > 10
    assert job.state == JobState.COMPLETED, job.error
    assert set(Account.objects.values_list("balance", flat=True)) == {1}
    assert Outcome.objects.filter(job=job, state="succeeded").count() == ITEMS
    assert verify(job.pk).agrees


def test_idle_workers_and_their_leader_outlive_their_connections(owner, cluster):
    # Beside its workers a leader has a process for moments, such as the one that looks at the schedules.
    wait_for(lambda: len(cluster.workers()) == 2, 10, "nothing but workers")
    workers = cluster.workers()
    for _ in range(3):
        cut(all_of_them=True)
        time.sleep(1.2)
    job = services.submit(user=owner, operation="note", items=["a"])
    wait_for(lambda: type(job).objects.get(pk=job.pk).state == JobState.COMPLETED, 5, "the job's end")
    wait_for(lambda: cluster.workers() == workers, 10, "the same workers")
    assert cluster.leader.poll() is None
