"""A round of rescue: what one job's rows do to it is no other job's affair."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction
from django_q.models import OrmQ

from bulkops import dispatch, services
from bulkops.cluster.leader import Leader
from bulkops.cluster.workers import Dead
from bulkops.engine import chunks, rescue, turns
from bulkops.engine.hand import Doing, InHand
from bulkops.models import Chunk, Turn
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other(worker):
    return InProcessWorker()


def hold(job, worker):
    """Take the first turn and a chunk."""
    turn = Turn.objects.get(job=job, number=0)
    chunks.claim(turns.take(job.pk, 0, turn.seq, worker.holder), worker.holder)


def rescue_in_another_session() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '200ms'")
        rescue.rescue()
    finally:
        connections.close_all()


def test_a_row_that_stays_locked_keeps_only_its_own_job_from_being_rescued(owner, stranger, worker, other):
    jobs = [services.submit(user=user, operation="note", items=["a"]) for user in (owner, stranger)]
    for job in jobs:
        hold(job, worker)
    worker.die()
    first, second = rescue._holding(rescue.holds.held_by_dead())
    with transaction.atomic():
        Chunk.objects.select_for_update().get(job=first)  # as a worker frozen before its COMMIT keeps it
        thread = threading.Thread(target=rescue_in_another_session)
        thread.start()
        thread.join()
    assert Turn.objects.get(job=first).holder_id == worker.cluster.pk
    assert Turn.objects.get(job=second).holder_id is None
    assert other.rescue() == 1


def test_a_job_that_cannot_be_mended_keeps_no_other_from_being_rescued(owner, stranger, worker, other):
    jobs = [services.submit(user=user, operation="note", items=["a"]) for user in (owner, stranger)]
    for job in jobs:
        hold(job, worker)
    worker.die()
    first, second = rescue._holding(rescue.holds.held_by_dead())
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE bulkops_chunk ADD CONSTRAINT damage CHECK (job_id <> '{first}') NOT VALID")
    try:
        assert other.rescue() == 1
        assert Turn.objects.get(job=first).holder_id == worker.cluster.pk
        assert Turn.objects.get(job=second).holder_id is None
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE bulkops_chunk DROP CONSTRAINT damage")
    assert other.rescue() == 1


def test_a_death_that_cannot_be_recorded_keeps_no_job_from_being_rescued(owner, stranger, worker):
    jobs = [services.submit(user=user, operation="deadly", items=["a"]) for user in (owner, stranger)]
    for job in jobs:
        hold(job, worker)
    chunk = Chunk.objects.get(job=jobs[0])
    leader = Leader(workers=1, queues=["default"])
    leader._register()
    in_hand = InHand(doing=Doing.ITEM, job_id=jobs[0].pk, limit_seconds=0, chunk_id=chunk.pk, epoch=chunk.epoch)
    leader.workers.dead.append(Dead(7, in_hand, timed_out=False))
    worker.die()
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE bulkops_chunk ADD CONSTRAINT damage CHECK (job_id <> '{jobs[0].pk}') NOT VALID")
    try:
        leader._round_if_due()
        assert Turn.objects.get(job=jobs[1]).holder_id is None
        assert leader.workers.dead == []
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE bulkops_chunk DROP CONSTRAINT damage")


def test_a_job_that_is_pausing_gets_no_turn_sent_again(owner, worker, other, settings):
    settings.BULKOPS = {"turn_grace_seconds": 0, "chunk_items": 1}
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"], parallelism=2)
    hold(job, worker)
    services.pause(job=job, actor=owner)
    dispatch.withdraw(list(OrmQ.objects.values_list("pk", flat=True)))
    assert other.rescue() == 0
    assert not OrmQ.objects.exists()


def test_what_a_worker_committed_as_it_died_is_taken_back_in_a_later_round(owner, worker, other):
    job = services.submit(user=owner, operation="note", items=["a"])
    taken, looked = threading.Event(), threading.Event()

    def dying() -> None:
        with transaction.atomic():
            turns.take(job.pk, 0, 0, worker.holder)
            taken.set()
            looked.wait(10)
        connections.close_all()

    thread = threading.Thread(target=dying)
    thread.start()
    taken.wait(10)
    try:
        assert rescue.release_gone(worker.cluster, living=[]) == 0
    finally:
        looked.set()
        thread.join()
    assert rescue.release_gone(worker.cluster, living=[worker.holder.worker]) == 0
    assert rescue.release_gone(worker.cluster, living=[]) == 1


def test_a_round_leaves_off_in_time_and_the_next_one_goes_on(owner, stranger, worker, settings):
    settings.BULKOPS = {"turn_grace_seconds": 0}
    for user in (owner, stranger):
        services.submit(user=user, operation="note", items=["a"])
    OrmQ.objects.all().delete()
    assert rescue.rescue(ends_at=0) == 0
    assert rescue.rescue() == 2


def test_a_round_that_fails_ends_no_leader(worker, monkeypatch):
    leader = Leader(workers=1, queues=["default"])
    leader._register()
    monkeypatch.setattr(rescue, "rescue", lambda **_: 1 / 0)
    leader._round_if_due()
    assert leader._next_round > 0
