"""`manage.py status` and the diagnosis behind it: why nothing moves, in words."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import OperationalError, ProgrammingError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bulkops import diagnosis, events, services
from bulkops.clock import from_now
from bulkops.diagnosis import diagnose
from bulkops.management.commands import status
from bulkops.models import Cluster, Job, Turn
from bulkops.states import EventKind, JobState
from bulkops.webhooks.models import Delivery, Endpoint

pytestmark = pytest.mark.django_db


@pytest.fixture
def alive():
    """Makes a cluster that counts as living."""

    def make(name="host:1", seconds=9.0, workers=2, queues=("default",)):
        return Cluster.objects.create(name=name, alive_until=from_now(seconds), workers=workers, queues=list(queues))

    return make


@pytest.fixture
def job(owner):
    return services.submit(user=owner, operation="note", items=["a", "b"])


def hold(job, cluster):
    Turn.objects.filter(job=job).update(holder=cluster, worker=1, message_id=None)


def test_all_is_well_with_a_worker_and_nothing_to_do(run, alive):
    alive()
    ran = run("status")
    assert ran.code == 0
    assert ran.out.startswith("All is well.\nNo job is active.\n")
    assert "host:1   alive  1 s ago   0 of 2 busy  default" in ran.out


def test_no_worker_is_wrong_and_says_what_to_do(run, job):
    ran = run("status")
    assert ran.code == 1
    assert ran.out.startswith("WRONG: No worker is running. Start one: manage.py qcluster\n")
    assert f"{job.pk}  note       queued  no living cluster serves its queue “default”" in ran.out


def test_a_dead_cluster_is_no_worker(run, alive, job):
    alive(seconds=-1)
    ran = run("status")
    assert ran.code == 1
    assert "host:1   dead  11 s ago" in ran.out


def test_a_queue_without_a_worker_is_wrong(run, alive, job):
    alive(queues=["mail"])
    ran = run("status")
    assert ran.code == 1
    assert "WRONG: No worker serves the queue “default”. Start one: manage.py qcluster --queues default" in ran.out


def test_a_job_that_waits_for_a_busy_worker_is_no_fault(run, alive, person):
    cluster = alive(workers=1)
    hold(services.submit(user=person("first"), operation="note", items=["a"]), cluster)
    waiting = services.submit(user=person("second"), operation="note", items=["a"])
    Turn.objects.filter(job=waiting).update(due=from_now(-100))
    ran = run("status")
    assert ran.code == 0
    assert "The only worker is busy; 1 turn waits, for 100 s." in ran.out
    assert "Queue: 1 turn waits, the first for 1 min 40 s" in ran.out
    assert "Active jobs: 2 queued" in ran.out


def test_a_due_turn_that_an_idle_worker_leaves_is_wrong(alive, job):
    alive()
    assert diagnose().ok
    Turn.objects.update(due=from_now(-diagnosis.OVERDUE_SECONDS - 1))
    found = diagnose()
    assert not found.ok
    assert [one.id for one in found.stalled] == [job.pk]
    assert "an idle worker does not take it" in found.stalled[0].why


def test_work_in_a_dead_clusters_hand_is_wrong_once_nobody_takes_it_back(alive, job):
    alive()
    dead = alive("host:2", seconds=-5)
    hold(job, dead)
    assert diagnose().ok, "a leader takes it back within its next round"
    Cluster.objects.filter(pk=dead.pk).update(alive_until=from_now(-60))
    assert "a dead cluster holds its work" in diagnose().stalled[0].why


def test_a_paused_job_is_a_remark(run, alive, job, owner):
    alive()
    services.pause(job=job, actor=owner)
    ran = run("status")
    assert ran.code == 0
    assert "1 job is paused; it goes on when somebody resumes it." in ran.out


def test_the_last_errors_are_told(run, alive, job):
    alive()
    events.record(job, EventKind.HOOK_FAILED, detail="Item 0: the hook is broken")
    services.cancel(job=job, actor=None)
    Job.objects.filter(pk=job.pk).update(state=JobState.FAILED, error="Finishing failed: ValueError")
    ran = run("status")
    assert ran.code == 0, "a failed job is its owner's business, not the installation's"
    assert "the hook is broken" in ran.out
    assert "Finishing failed: ValueError" in ran.out


@pytest.mark.django_db(transaction=True)
def test_a_jobs_last_failed_item_is_told_by_its_position(owner, worker, run):
    worker.finish(services.submit(user=owner, operation="habits", items=["raise", "raise-with-nul", "fine"]))
    assert [error.position for error in diagnose().errors] == [1]
    assert "position 1: ValueError" in run("status").out


def test_endpoints_that_fail_are_a_remark_without_their_secrets(run, alive, owner):
    alive()
    assert "Webhooks" not in run("status").out
    since = timezone.now() - timedelta(minutes=3)
    endpoint = Endpoint.objects.create(owner=owner, url="https://hooks.example.org/secret", failing_since=since)
    Delivery.objects.create(endpoint=endpoint, event="job.completed", body="{}", due=since)
    ran = run("status")
    assert ran.code == 0, "a receiver that is down is its owner's business, not the installation's"
    assert "switched off: hooks.example.org of owner; 1 delivery waits. More: manage.py webhooks" in ran.out
    assert "secret" not in ran.out


def test_json_tells_all_of_it(run, alive, job):
    alive()
    said = json.loads(run("status", "--json").out)
    assert said["ok"] is True
    assert said["faults"] == []
    assert said["queue_depth"] == 1
    assert said["oldest_wait_seconds"] >= 0
    assert said["jobs"] == {"queued": 1}
    assert said["clusters"][0]["alive"] is True
    assert set(said) >= {"clusters", "queues", "stalled", "errors", "remarks"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OperationalError("connection refused\nIs the server running?"),
            "The database does not answer: connection refused",
        ),
        (ProgrammingError('relation "bulkops_job" does not exist'), "run manage.py migrate"),
    ],
)
def test_a_database_that_cannot_be_asked_is_an_answer(run, monkeypatch, error, words):
    def away():
        raise error

    monkeypatch.setattr(status, "diagnose", away)
    ran = run("status")
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.startswith(words) or words in ran.out
    assert ran.out.count("\n") == 1
    assert json.loads(run("status", "--json").out)["ok"] is False


def test_the_number_of_queries_does_not_grow(alive, person):
    alive()

    def queries():
        with CaptureQueriesContext(connection) as asked:
            diagnose()
        return len(asked)

    services.submit(user=person("first"), operation="note", items=["a"])
    few = queries()
    for number in range(10):
        services.submit(user=person(f"user{number}"), operation="note", items=["a"])
    assert queries() == few
