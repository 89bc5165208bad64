"""What items came to over all jobs: a job is in it once, whether active, ended or pruned, and nothing goes back."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from bulkops import InDoubt, doubt, retention, services, totals, transitions
from bulkops.clock import from_now
from bulkops.models import Chunk, Job, Outcome
from bulkops.states import JobState, OutcomeState
from bulkops.tallies import Count, Tally
from tests.sample.operations import Holding

pytestmark = pytest.mark.django_db(transaction=True)


def told(name: str) -> dict[tuple[str, ...], tuple[int, ...]]:
    return {one.labels: one.counts for one in totals.read() if one.name == name}


@pytest.fixture
def doubtful(monkeypatch, owner, worker):
    """A job of four items that has ended: one succeeded, one failed, two in doubt."""

    def raises(error):
        def fall(_context):
            raise error

        return fall

    meanwhile = {"b": raises(ValueError("no")), "c": raises(InDoubt("who knows")), "d": raises(InDoubt("who knows"))}
    monkeypatch.setattr(Holding, "meanwhile", meanwhile)
    job = services.submit(user=owner, operation="holding", items=["a", "b", "c", "d"])
    return worker.finish(job)


def test_items_of_active_jobs_are_counted_as_they_stand(owner, worker):
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"])
    assert told(totals.ITEMS) == {("note",): (0, 0, 0)}
    Chunk.objects.filter(job=job).update(cursor=2, succeeded=1, failed=1)
    assert told(totals.ITEMS) == {("note",): (1, 0, 1)}
    assert not Tally.objects.exists()


def test_a_jobs_items_pass_into_the_totals_with_its_end(owner, worker):
    for _ in range(2):
        worker.finish(services.submit(user=owner, operation="note", items=["a", "b", "c"]))
    services.submit(user=owner, operation="note", items=["d"])
    assert told(totals.ITEMS) == {("note",): (6, 0, 0)}
    assert told(totals.JOBS_ENDED) == {("note", "completed"): (2,)}


def test_what_a_cancelled_job_has_done_stays_counted(owner, worker):
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"])
    Chunk.objects.filter(job=job).update(cursor=2, succeeded=1, skipped=1)
    services.cancel(job=job, actor=owner)
    assert Job.objects.get().state == JobState.CANCELLED
    assert told(totals.ITEMS) == {("note",): (1, 1, 0)}
    assert told(totals.JOBS_ENDED) == {("note", "cancelled"): (1,)}


def test_an_end_that_is_rolled_back_is_not_counted(owner, worker):
    job = services.submit(user=owner, operation="note", items=["a"])
    with transaction.atomic():
        transitions.move(transitions.lock_job(job.pk), JobState.FAILED)
        transaction.set_rollback(True)
    assert told(totals.ITEMS) == {("note",): (0, 0, 0)}
    assert told(totals.JOBS_ENDED) == {}


def test_a_doubt_that_is_settled_after_the_end_is_counted_as_what_it_was(doubtful, owner):
    assert told(totals.ITEMS) == {("holding",): (1, 0, 1)}
    assert told(totals.IN_DOUBT) == {("holding",): (2,)}
    services.decide(job=doubtful, position=2, decision="done", actor=owner)
    assert told(totals.ITEMS) == {("holding",): (2, 0, 1)}
    assert told(totals.IN_DOUBT) == {("holding",): (1,)}
    services.decide(job=doubtful, position=3, decision="failed", actor=owner)
    assert told(totals.ITEMS) == {("holding",): (2, 0, 2)}
    assert told(totals.IN_DOUBT) == {("holding",): (0,)}
    assert told(totals.JOBS_ENDED) == {("holding", "completed_with_errors"): (1,)}


def test_a_doubt_that_is_settled_in_an_active_job_is_counted_once(owner, worker):
    job = services.submit(user=owner, operation="holding", items=["a", "b"])
    Chunk.objects.filter(job=job).update(cursor=1, in_doubt=1)
    Outcome.objects.create(job=job, position=0, state=OutcomeState.IN_DOUBT, finished_at=job.created_at)
    assert told(totals.IN_DOUBT) == {("holding",): (1,)}
    doubt.settle(job, 0, OutcomeState.SUCCEEDED)
    assert told(totals.ITEMS) == {("holding",): (1, 0, 0)}
    assert told(totals.IN_DOUBT) == {("holding",): (0,)}


def test_pruning_takes_nothing_from_the_totals_but_doubts_that_nobody_can_settle(doubtful):
    Job.objects.update(created_at=from_now(-10 * 86_400), finished_at=from_now(-10 * 86_400))
    assert retention.prune(older_than_days=5).jobs == 1
    assert told(totals.ITEMS) == {("holding",): (1, 0, 1)}
    assert told(totals.JOBS_ENDED) == {("holding", "completed_with_errors"): (1,)}
    assert told(totals.IN_DOUBT) == {("holding",): (0,)}


def test_reading_is_one_query_and_looks_at_no_outcome_and_at_no_chunk_of_an_ended_job(owner, worker):
    worker.finish(services.submit(user=owner, operation="note", items=["a"]))
    services.submit(user=owner, operation="note", items=["a", "b"])
    # What ended is not asked for: were it, this would show.
    Chunk.objects.filter(job__state=JobState.COMPLETED).update(cursor=0, succeeded=0, finished=False)
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert Count(totals.ITEMS, ("note",), (1, 0, 0)) in totals.read()
    assert len(asked) == 1
    assert "outcome" not in asked[0]["sql"]
