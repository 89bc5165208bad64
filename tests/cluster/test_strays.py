"""A worker whose work was taken away by force is ended by its leader, and blamed for nothing."""

from __future__ import annotations

import pytest

from bulkops import services
from bulkops.engine import chunks, fences, turns
from bulkops.engine.hand import Doing, InHand
from bulkops.models import Chunk, Event, Job, Outcome
from bulkops.states import ENDED, EventKind, JobState
from tests.clusters import wait_for
from tests.sample.models import Effect
from tests.sample.operations import Deadly, DeadlyAround

pytestmark = pytest.mark.django_db(transaction=True)


def of_item(claim, **changes) -> InHand:
    known = {"chunk_id": claim.chunk_id, "epoch": claim.epoch}
    return InHand(doing=Doing.ITEM, limit_seconds=0, **known | changes)


def test_an_item_is_its_workers_while_the_chunk_has_the_epoch_of_the_claim(owner, worker, django_assert_num_queries):
    job = services.submit(user=owner, operation="note", items=["a"])
    claim = chunks.claim(turns.take(job.pk, 0, 0, worker.holder), worker.holder)
    hands = {7: of_item(claim), 8: of_item(claim, epoch=claim.epoch - 1), 9: of_item(claim, chunk_id=0)}
    with django_assert_num_queries(1):
        assert fences.lost(worker.cluster.pk, {7: hands[7]}) == set()
    assert fences.lost(worker.cluster.pk, hands) == {8, 9}
    services.cancel(job=job, actor=owner, force=True)
    assert fences.lost(worker.cluster.pk, hands) == {7, 8, 9}


@pytest.mark.parametrize("doing", [Doing.ITEMS, Doing.FINISH])
def test_all_else_is_its_workers_while_they_hold_a_turn_of_the_job(owner, worker, doing):
    job = services.submit(user=owner, operation="collecting", params={"how": "3"})
    turns.take(job.pk, 0, 0, worker.holder)
    number = worker.holder.worker
    hands = {number: InHand(doing=doing, limit_seconds=0, job_id=job.pk)}
    assert fences.lost(worker.cluster.pk, hands) == set()
    assert fences.lost(worker.cluster.pk, {number + 1: hands[number]}) == {number + 1}
    services.pause(job=job, actor=owner, force=True)
    services.resume(job=job, actor=owner)
    assert fences.lost(worker.cluster.pk, hands) == {number}, "although it is preparing again"


def test_of_tasks_and_idle_workers_nobody_asks(worker, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert fences.lost(worker.cluster.pk, {1: InHand(doing=Doing.TASK, limit_seconds=0)}) == set()
        assert fences.lost(worker.cluster.pk, {}) == set()


PATIENT = "import tests.sample.operations as o; o.Deadly.item_timeout_seconds = o.DeadlyAround.item_timeout_seconds = 0"
"""Run in the cluster: nothing but force ends what hangs."""


def runs_within_15_seconds(owner) -> Job:
    """The next job of the same user, on the only worker."""
    job = services.submit(user=owner, operation="note", items=["next"])
    wait_for(lambda: Job.objects.get(pk=job.pk).state == JobState.COMPLETED, 15, "the next job's end")
    return job


@pytest.mark.slow
@pytest.mark.parametrize("how", ["hang", "wait-in-the-database"])
def test_an_item_that_hangs_is_cancelled_by_force_and_the_next_job_runs(owner, clusters, how):
    cluster = clusters(workers=1, prelude=PATIENT)
    first = cluster.pid_of(1)
    job = services.submit(user=owner, operation=Deadly.name, items=["before", how, "after"])
    wait_for(lambda: Outcome.objects.filter(job=job).count() == 1, 10)
    services.cancel(job=job, actor=owner)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLING
    services.cancel(job=job, actor=owner, force=True)
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    runs_within_15_seconds(owner)
    assert first not in cluster.workers()
    assert Outcome.objects.filter(job=job).count() == 1, "what hung is unprocessed"
    assert sorted(Effect.objects.values_list("item", flat=True)) == ["before", "next"]
    assert not Event.objects.filter(job=job, kind=EventKind.RESCUED).exists()
    assert Chunk.objects.get(job=job).crashes == 0


@pytest.mark.slow
def test_collecting_that_hangs_is_paused_by_force_and_its_worker_is_free(owner, stranger, clusters):
    cluster = clusters(workers=1, prelude=PATIENT)
    first = cluster.pid_of(1)
    job = services.submit(user=owner, operation=DeadlyAround.name, params={"how": "hang-in-items"})
    wait_for(lambda: job.turns.filter(holder__isnull=False).exists(), 10)
    wait_for(lambda: Job.objects.get(pk=job.pk).prepare_epoch == 1, 10)
    services.pause(job=job, actor=owner, force=True)
    job.refresh_from_db()
    assert (job.state, job.crashes) == (JobState.PAUSED, 0)
    runs_within_15_seconds(stranger)
    assert first not in cluster.workers()
    job.refresh_from_db()
    assert (job.state, job.crashes) == (JobState.PAUSED, 0)


@pytest.mark.slow
def test_a_long_item_that_is_still_its_workers_is_left_alone(owner, clusters):
    prelude = "import time; from bulkops import registry; registry.get('note').process = lambda *_: time.sleep(5)"
    cluster = clusters(workers=1, prelude=prelude)
    first = cluster.pid_of(1)
    job = services.submit(user=owner, operation="note", items=["slow"])
    wait_for(lambda: not Job.objects.get(pk=job.pk).is_active, 20, "the job's end")
    assert Job.objects.get(pk=job.pk).state == JobState.COMPLETED
    assert first in cluster.workers()


@pytest.mark.parametrize(
    ("state", "stray"),
    [
        (JobState.RUNNING, False),
        (JobState.COMPLETED_WITH_ERRORS, False),
        (JobState.PAUSED, True),
        (JobState.CANCELLED, True),
        (JobState.FAILED, True),
    ],
)
def test_a_call_elsewhere_whose_chunk_was_lost_is_ended_only_where_the_job_was_stopped(owner, worker, state, stray):
    """Its result may still settle the doubt that it left behind."""
    job = services.submit(user=owner, operation="holding", items=["a"])
    claim = chunks.claim(turns.take(job.pk, 0, 0, worker.holder), worker.holder)
    hand = InHand(doing=Doing.ITEM, job_id=job.pk, limit_seconds=60, chunk_id=claim.chunk_id, epoch=claim.epoch)
    assert fences.lost(worker.cluster.pk, {1: hand}) == set()
    slot = None if state in ENDED else "somebody"
    Job.objects.filter(pk=job.pk).update(state=state, slot=slot)
    Chunk.objects.update(epoch=9)
    assert fences.lost(worker.cluster.pk, {1: hand}) == ({1} if stray else set())
