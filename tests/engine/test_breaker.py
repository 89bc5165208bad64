"""A job of which too many items fail pauses, says why, and goes on when it is resumed."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from bulkops import failures, progress, services
from bulkops.engine import casualties, chunks, rescue, turns
from bulkops.engine.hand import Doing, InHand
from bulkops.engine.statements import ItemStatements, Try
from bulkops.models import Event, Job, Outcome, Turn
from bulkops.states import EventKind, JobState
from bulkops.verify import verify
from tests.clusters import wait_for
from tests.sample.models import Effect
from tests.sample.operations import Failing, Holding

pytestmark = pytest.mark.django_db(transaction=True)


def failed(job) -> int:
    figures = progress.of(job)
    return figures.failed + figures.in_doubt


def test_a_job_pauses_at_the_limit_and_says_why(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="failing", items=["good"] + ["bad"] * 20))
    assert (job.state, failed(job)) == (JobState.PAUSED, 10)
    assert progress.of(job).words == "Paused: 10 items failed since it was begun"
    assert Event.objects.filter(job=job, kind=EventKind.PAUSE_REQUESTED, actor=None).count() == 1
    assert verify(job.pk).agrees


@pytest.mark.slow
def test_a_resumed_job_is_given_the_whole_limit_again(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="failing", items=["bad"] * 35))
    for already in (10, 20, 30):
        assert (job.state, failed(job)) == (JobState.PAUSED, already)
        services.resume(job=job, actor=owner)
        worker.finish(job)
    assert (job.state, failed(job)) == (JobState.COMPLETED_WITH_ERRORS, 35)


def test_the_reason_tells_whether_it_was_resumed_before(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="failing", items=["bad"] * 35))
    services.resume(job=job, actor=owner)
    worker.finish(job)
    assert progress.of(job).words == "Paused: 10 items failed since it was last resumed"


@pytest.mark.slow
def test_doubts_of_before_the_resume_that_prove_harmless_make_up_for_no_failure_after_it(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="failing", items=["doubt"] * 10 + ["bad"] * 25))
    services.resume(job=job, actor=owner)
    for position in range(10):
        services.decide(job=job, position=position, decision="done", actor=owner)
    assert failures.since_resumed(job.pk).bad == 0
    worker.finish(job)
    assert (job.state, failed(job)) == (JobState.PAUSED, 10)


@pytest.mark.slow
def test_a_doubt_of_after_the_resume_that_proves_harmless_counts_no_more(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="failing", items=["bad"] * 10 + ["doubt"] * 25))
    services.resume(job=job, actor=owner)
    worker.finish(job)
    services.decide(job=job, position=10, decision="done", actor=owner)
    services.decide(job=job, position=11, decision="failed", actor=owner)
    assert failures.since_resumed(job.pk).bad == 9


def test_items_in_doubt_count_as_failures(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="failing", items=["bad", "doubt"] * 20))
    assert (job.state, failed(job)) == (JobState.PAUSED, 10)
    assert "10 items failed or may have happened since" in progress.of(job).words


def test_below_the_limit_nothing_stops(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="failing", items=["bad"] * 9 + ["good"] * 9))
    assert job.state == JobState.COMPLETED_WITH_ERRORS


@pytest.mark.slow
def test_a_share_counts_only_past_the_first_twenty_items(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="failing-share", items=["bad"] * 19))
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    job = worker.finish(
        services.submit(user=owner, operation="failing-share", items=["bad"] * 19 + ["good", "bad"] * 9)
    )
    assert job.state == JobState.PAUSED
    assert progress.of(job).words == "Paused: 20 of 21 items failed since it was begun"


@pytest.mark.slow
def test_a_share_counts_from_the_last_resume_on(owner, worker):
    items = ["bad"] * 30 + ["good"] * 15 + ["bad"] * 30
    job = worker.finish(services.submit(user=owner, operation="failing-share", items=items))
    assert (job.state, failed(job)) == (JobState.PAUSED, 20)
    services.resume(job=job, actor=owner)
    worker.finish(job)
    assert (job.state, progress.of(job).processed) == (JobState.PAUSED, 50), "20 of 30 since; at 25 it was 10 of 25"
    assert verify(job.pk).agrees


def test_a_job_whose_last_item_reaches_the_limit_finishes(owner, worker):
    job = worker.finish(services.submit(user=owner, operation="failing", items=["bad"] * 10))
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert not Event.objects.filter(job=job, kind=EventKind.PAUSE_REQUESTED).exists()


def test_a_good_item_costs_no_query_more(owner, worker, monkeypatch):
    def queries(most) -> int:
        monkeypatch.setattr(Failing, "max_failures", most)
        job = services.submit(user=owner, operation="failing", items=["good"] * 20)
        with CaptureQueriesContext(connection) as asked:
            worker.step()
        job.refresh_from_db()
        assert job.state == JobState.COMPLETED
        return len(asked)

    assert queries(None) == queries(5)


def test_failures_that_the_leader_records_count_too(owner, worker, monkeypatch):
    monkeypatch.setattr(Failing, "max_failures", 1)
    monkeypatch.setattr(Failing, "max_crashes", 1)
    job = services.submit(user=owner, operation="failing", items=["good", "good"])
    taken = turns.take(job.pk, 0, 0, worker.holder)
    claim = chunks.claim(taken, worker.holder)
    hand = InHand(doing=Doing.ITEM, job_id=job.pk, limit_seconds=0, chunk_id=claim.chunk_id, epoch=claim.epoch)
    assert casualties.record(hand, timed_out=False)
    job.refresh_from_db()
    assert job.state == JobState.PAUSING
    assert rescue.release_gone(worker.cluster, living=[]) == 1
    job.refresh_from_db()
    assert (job.state, failed(job)) == (JobState.PAUSED, 1)


def test_a_job_that_pauses_as_it_is_rescued_gets_no_turn_and_goes_on_at_once_when_resumed(owner, worker, monkeypatch):
    monkeypatch.setattr(Holding, "max_failures", 1)
    job = services.submit(user=owner, operation="holding", items=["a", "b"])
    claim = chunks.claim(turns.take(job.pk, 0, 0, worker.holder), worker.holder)
    statements = ItemStatements()
    statements.prepare()
    statements.begin(Try(claim=claim, position=0))
    assert rescue.release_gone(worker.cluster, living=[]) == 1
    job.refresh_from_db()
    assert (job.state, failed(job)) == (JobState.PAUSED, 1)
    assert not OrmQ.objects.exists()
    assert Turn.objects.get().due is None
    services.resume(job=job, actor=owner)
    assert worker.step() == "worked"


def test_figures_of_a_job_without_chunks_are_nought(owner):
    job = services.submit(user=owner, operation="failing", items=[])
    assert failures.since_resumed(job.pk) == failures.Failures(bad=0, doubtful=False, processed=0)
    failures.begin_anew(job)


@pytest.mark.slow
def test_parallel_workers_are_one_failure_late_each_at_most(owner, clusters, settings):
    settings.BULKOPS = {"chunk_items": 25}
    clusters(workers=4)
    job = services.submit(user=owner, operation="failing", items=["bad"] * 400, parallelism=4)

    before = 0
    for pauses in (1, 2):
        wait_for(lambda: Job.objects.get(pk=job.pk).state == JobState.PAUSED, 30, "the pause")
        bad = Outcome.objects.filter(job=job).count()
        assert before + 10 <= bad < before + 14
        assert Event.objects.filter(job=job, kind=EventKind.PAUSE_REQUESTED).count() == pauses
        before = bad
        services.resume(job=job, actor=owner)
    assert not Effect.objects.exists()
