"""Items that hang, or end the process they run in: each ends as an outcome in words, and job and cluster go on."""

from __future__ import annotations

import os
import signal
import time

import pytest

from bulkops import services
from bulkops.models import Chunk, Event, Outcome
from bulkops.states import EventKind, JobState, OutcomeState
from tests.clusters import wait_for
from tests.sample.models import Effect

pytestmark = pytest.mark.slow


def ended(job) -> bool:
    job.refresh_from_db()
    return not job.is_active


@pytest.mark.parametrize("habit", ["kill", "exit-at-once", "abort"])
def test_an_item_that_ends_its_process_fails_after_three_workers_and_the_job_goes_on(owner, cluster, habit):
    job = services.submit(user=owner, operation="deadly", items=["before", habit, "after"])
    wait_for(lambda: ended(job), 30, "the job's end")
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    failed = Outcome.objects.get(job=job, position=1)
    assert (failed.state, failed.error_code) == (OutcomeState.FAILED, "killed-its-worker")
    assert failed.message == "The item killed its worker 3 times."
    assert sorted(Effect.objects.values_list("item", flat=True)) == ["after", "before"]
    assert Event.objects.filter(job=job, kind=EventKind.RESCUED).count() == 3
    wait_for(lambda: len(cluster.workers()) == 2, 10, "two workers again")


def test_an_item_that_overstays_is_stopped_and_has_timed_out(owner, cluster):
    job = services.submit(user=owner, operation="deadly", items=["before", "hang", "after"])
    wait_for(lambda: ended(job), 20, "the job's end")
    failed = Outcome.objects.get(job=job, position=1)
    assert (failed.state, failed.error_code) == (OutcomeState.FAILED, "timed-out")
    assert failed.message == "The item took longer than 1 s and was stopped."
    assert Outcome.objects.get(job=job, position=2).state == OutcomeState.SUCCEEDED


def test_an_item_that_waits_in_the_database_overstays_too(owner, cluster):
    job = services.submit(user=owner, operation="deadly", items=["wait-in-the-database"])
    wait_for(lambda: ended(job), 20, "the job's end")
    assert Outcome.objects.get(job=job).error_code == "timed-out"


def test_a_worker_frozen_between_fence_and_commit_holds_nobody_up(owner, clusters):
    cluster = clusters(workers=1)
    job = services.submit(user=owner, operation="freezing", items=["freeze", "after"])
    wait_for(lambda: ended(job), 15, "the job's end")
    assert job.state == JobState.COMPLETED
    assert sorted(Effect.objects.values_list("item", flat=True)) == ["after", "freeze", "frozen"]
    wait_for(lambda: len(cluster.workers()) == 1, 5)


def test_a_deferred_item_that_kills_its_worker_fails_too(owner, cluster):
    job = services.submit(user=owner, operation="deadly", items=["defer-then-kill"])
    wait_for(lambda: ended(job), 30, "the job's end")
    assert Outcome.objects.get(job=job).error_code == "killed-its-worker"
    assert Chunk.objects.get(job=job).deferred == 0


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kill-in-items", "Collecting the items killed its worker 3 times."),
        ("hang-in-items", "Collecting the items took longer than 1 s"),
        ("kill-in-finish", "Finishing killed its worker 3 times."),
        ("hang-in-finish", "Finishing took longer than 1 s"),
    ],
)
def test_collecting_or_finishing_that_does_so_fails_the_job(owner, cluster, how, words):
    job = services.submit(user=owner, operation="deadly-around", params={"how": how})
    wait_for(lambda: ended(job), 30, "the job's end")
    assert (job.state, job.slot) == (JobState.FAILED, None)
    assert words in job.error
    wait_for(lambda: len(cluster.workers()) == 2, 10, "two workers again")


def test_kills_at_different_items_blame_none_of_them(owner, clusters):
    cluster = clusters(workers=1)
    job = services.submit(user=owner, operation="slow-note", items=[str(number) for number in range(40)])
    for at in (5, 12, 19, 26):
        wait_for(lambda at=at: Outcome.objects.filter(job=job).count() >= at, 20)
        for pid in cluster.workers():
            os.kill(pid, signal.SIGKILL)
    wait_for(lambda: ended(job), 30, "the job's end")
    assert job.state == JobState.COMPLETED
    assert Effect.objects.count() == 40


def test_a_worker_that_stays_frozen_is_replaced_and_nobody_is_blamed(owner, clusters):
    cluster = clusters(workers=1)
    job = services.submit(user=owner, operation="slow-note", items=[str(number) for number in range(60)])
    wait_for(lambda: Outcome.objects.filter(job=job).count() >= 5, 20)
    (frozen,) = cluster.workers()
    os.kill(frozen, signal.SIGSTOP)
    began = time.monotonic()
    wait_for(lambda: ended(job), 40, "the job's end")
    assert job.state == JobState.COMPLETED
    assert Effect.objects.count() == 60
    print(f"went on and ended {time.monotonic() - began:.1f} s after the freeze")


def test_sigterm_does_not_wait_longer_than_an_items_limit(owner, clusters):
    cluster = clusters(workers=1)
    job = services.submit(user=owner, operation="deadly", items=["hang", "after"])
    wait_for(lambda: Chunk.objects.filter(job=job, holder__isnull=False).exists(), 10)
    assert cluster.terminate(15) == 0
    assert Outcome.objects.get(job=job).error_code == "timed-out"
    assert not Chunk.objects.filter(job=job, holder__isnull=False).exists()
