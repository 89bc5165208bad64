"""A backup made while jobs run is one moment of all of them: restored, they go on from there by themselves."""

from __future__ import annotations

import subprocess

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from bulkops import services
from bulkops.models import Chunk, Cluster, Job, Outcome
from bulkops.states import JobState
from bulkops.verify import verify
from tests.clusters import RealCluster, database_url, wait_for
from tests.sample.models import Account

pytestmark = [pytest.mark.slow]

ITEMS = 300


def state_of(job):
    return Job.objects.values_list("state", flat=True).get(pk=job.pk)


def test_a_restored_backup_goes_on_where_it_was_made(own_database, tmp_path):
    """The README's commands: dump while a job runs, restore later, start the workers."""
    own_database.empty()
    owner = get_user_model().objects.create_user("owner")
    Account.objects.bulk_create(Account(number=number) for number in range(ITEMS))
    job = services.submit(user=owner, operation="deposit", params={"amount": 1, "pause": 0.01})
    backup = tmp_path / "bulkops.dump"
    cluster = RealCluster(log=tmp_path / "before.log")
    try:
        wait_for(lambda: Outcome.objects.filter(job=job).count() > 40, 30)
        own_database.run("pg_dump", "--format=custom", f"--file={backup}", database_url())
        wait_for(lambda: state_of(job) == JobState.COMPLETED, 60)
    finally:
        cluster.kill()
    connection.close()
    own_database.run(
        "pg_restore", "--clean", "--if-exists", "--single-transaction", f"--dbname={database_url()}", backup
    )
    assert state_of(job) == JobState.RUNNING
    begun = Outcome.objects.filter(job=job).count()
    assert 40 < begun < ITEMS
    assert Account.objects.filter(balance=1).count() == begun
    assert Chunk.objects.filter(holder__isnull=False).exists(), "as it was at that moment: in a worker's hand"
    again = RealCluster(log=tmp_path / "after.log")
    try:
        wait_for(lambda: state_of(job) == JobState.COMPLETED, 90)
        assert Account.objects.filter(balance=1).count() == ITEMS, "each once, also those done after the backup"
        assert verify(job.pk).agrees
        assert again.terminate() == 0
    except subprocess.TimeoutExpired:
        raise AssertionError(again.log.read_text()) from None
    finally:
        again.kill()
    assert Cluster.objects.count() <= 1, "the row of the cluster of the backup, which is forgotten after a day"
