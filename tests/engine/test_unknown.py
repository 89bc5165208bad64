"""Jobs whose operation a worker's code does not have."""

from __future__ import annotations

import pytest

from bulkops import services
from bulkops.clock import from_now
from bulkops.engine import chunks, turns, unknown
from bulkops.engine.statements import ItemStatements, Result, Try
from bulkops.models import Event, Job
from bulkops.states import EventKind, JobState, OutcomeState
from tests.sample.models import Effect
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def job(owner, worker, monkeypatch):
    monkeypatch.setattr(unknown, "PASS_ON_SECONDS", 0)
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    Job.objects.filter(pk=job.pk).update(operation="of-the-next-release")
    return job


def long_missing(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(operation_missing_since=from_now(-601))


def test_it_is_passed_on_to_a_worker_that_knows_the_operation(job, worker):
    assert [worker.step() for _ in range(3)] == ["unknown"] * 3
    job.refresh_from_db()
    assert (job.state, job.operation_missing_since is None) == (JobState.QUEUED, False)
    Job.objects.filter(pk=job.pk).update(operation="note")  # what the new release's worker sees
    worker.finish(job)
    assert (job.state, job.operation_missing_since) == (JobState.COMPLETED, None)
    assert Effect.objects.count() == 2


def test_after_ten_minutes_it_pauses_and_says_so_and_resume_goes_on(job, worker, owner):
    worker.step()
    long_missing(job)
    assert worker.step() == "unknown"
    job.refresh_from_db()
    assert job.state == JobState.PAUSED
    assert job.slot is not None
    assert "of-the-next-release" in Event.objects.filter(job=job, kind=EventKind.PAUSE_REQUESTED).get().detail
    Job.objects.filter(pk=job.pk).update(operation="note")
    services.resume(job=job, actor=owner)
    assert worker.finish(job).state == JobState.COMPLETED


def test_while_a_worker_that_knows_it_works_it_does_not_pause_for_good(owner, worker, monkeypatch):
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    Job.objects.filter(pk=job.pk).update(operation_missing_since=from_now(-601))
    assert worker.finish(job).state == JobState.COMPLETED
    assert job.operation_missing_since is None


def test_a_job_of_which_only_the_end_is_left_fails_after_ten_minutes(job, worker):
    other = InProcessWorker()
    Job.objects.filter(pk=job.pk).update(operation="note")
    process_all(job, other)
    Job.objects.filter(pk=job.pk).update(operation="of-the-next-release")
    other.die()
    worker.rescue()
    long_missing(job)
    assert worker.step() == "unknown"
    job.refresh_from_db()
    assert (job.state, job.slot, job.error_code) == (JobState.FAILED, None, "unknown-operation")


def process_all(job: Job, worker: InProcessWorker) -> None:
    """Commit every item of the job, and not its end."""
    taken = turns.take(job.pk, 0, 0, worker.holder)
    claim = chunks.claim(taken, worker.holder)
    statements = ItemStatements()
    statements.prepare()
    for offset in range(claim.size):
        statements.record(Try(claim=claim, position=claim.start + offset), Result(state=OutcomeState.SUCCEEDED))
