"""Each race of the engine, played step by step with two workers or two connections."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction
from django_q.models import OrmQ

from bulkops import dispatch, services, transitions
from bulkops.clock import from_now
from bulkops.engine import chunks, finishing, rescue, runner, turns
from bulkops.engine.statements import ItemStatements, Result, Try
from bulkops.exceptions import FenceLost
from bulkops.models import Chunk, Cluster, Event, Job, Outcome, Turn
from bulkops.states import EventKind, JobState, OutcomeState
from tests.sample.models import Effect
from tests.sample.operations import Ending, Note, NoteOutside
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other(worker):
    return InProcessWorker()


def take(job: Job, number: int, worker: InProcessWorker):
    turn = Turn.objects.get(job=job, number=number)
    return turns.take(job.pk, number, turn.seq, worker.holder)


def succeed(claim, count: int) -> None:
    statements = ItemStatements()
    statements.prepare()
    for offset in range(claim.cursor, claim.cursor + count):
        statements.record(Try(claim=claim, position=claim.start + offset), Result(state=OutcomeState.SUCCEEDED))


def test_two_last_chunks_ending_at_the_same_moment_finish_the_job_once(owner, worker, other, settings):
    settings.BULKOPS = {"chunk_items": 2}
    operation = Ending()
    job = services.submit(user=owner, operation="note", items=["a", "b", "c", "d"], parallelism=2)
    Job.objects.filter(pk=job.pk).update(operation="ending")
    taken = [take(job, 0, worker), take(job, 1, other)]
    claims = [chunks.claim(taken[0], worker.holder), chunks.claim(taken[1], other.holder)]
    assert [claim.number for claim in claims] == [0, 1]
    for claim in claims:
        succeed(claim, 2)
    barrier = threading.Barrier(2)

    def end(index: int) -> None:
        barrier.wait()
        finishing.end_slice(taken[index], claims[index], operation, {"trouble": ""})
        connections.close_all()

    threads = [threading.Thread(target=end, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED
    assert Effect.objects.filter(item="finished").count() == 1
    assert not OrmQ.objects.exists()


def test_a_crash_between_the_last_item_and_finish_is_repeated_by_another_worker(owner, worker, other):
    job = services.submit(user=owner, operation="ending", items=["a"])
    taken = take(job, 0, worker)
    claim = chunks.claim(taken, worker.holder)
    succeed(claim, 1)
    worker.die()  # after the last item's commit, before anything else
    assert other.rescue() == 1
    other.finish(job)
    assert job.state == JobState.COMPLETED
    assert Effect.objects.filter(item="finished").count() == 1


def test_a_crash_inside_finish_leaves_nothing_and_is_repeated(owner, worker, other, monkeypatch):
    class Killed(BaseException):
        pass

    job = services.submit(user=owner, operation="ending", items=["a"])
    real = transitions.note_result

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(transitions, "note_result", killed)
    with pytest.raises(Killed):
        worker.step()
    monkeypatch.setattr(transitions, "note_result", real)
    assert not Effect.objects.filter(item="finished").exists()
    worker.die()
    other.rescue()
    other.finish(job)
    assert job.state == JobState.COMPLETED
    assert Effect.objects.filter(item="finished").count() == 1
    assert job.result == {"summary": {"total": 1, "succeeded": 1, "failed": 0, "skipped": 0, "in_doubt": 0}}


def test_a_fence_lost_between_process_and_commit_rolls_the_effect_back(owner, worker, other, monkeypatch):
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    process = Note.process

    def overtaken(self, item, params, context):
        if Chunk.objects.get(job=job).epoch == 1:
            # Another connection takes the chunk over between this item's work and its commit.
            thread = threading.Thread(target=take_over)
            thread.start()
            thread.join()
        return process(self, item, params, context)

    def take_over() -> None:
        worker.die()
        other.rescue()
        connections.close_all()

    monkeypatch.setattr(Note, "process", overtaken)
    worker.step()
    assert not Effect.objects.exists()
    assert not Outcome.objects.exists()
    other.finish(job)
    assert job.state == JobState.COMPLETED
    assert sorted(Effect.objects.values_list("item", flat=True)) == ["a", "b"]


def test_a_late_result_of_an_item_outside_a_transaction_is_kept_as_an_event(owner, worker, other, monkeypatch):
    job = services.submit(user=owner, operation="note-outside", items=["a"])
    process = NoteOutside.process

    def overtaken(self, item, params, context):
        if Chunk.objects.get(job=job).epoch == 1:
            worker.die()
            other.rescue()
        return process(self, item, params, context)

    monkeypatch.setattr(NoteOutside, "process", overtaken)
    worker.step()
    assert "Item 0, succeeded" in Event.objects.get(job=job, kind=EventKind.LATE_RESULT).detail
    other.finish(job)
    assert job.state == JobState.COMPLETED
    assert Outcome.objects.count() == 1
    assert Effect.objects.count() == 2  # at least once, as promised for effects outside


def test_doubled_and_stale_messages_are_inert(owner, worker):
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    message = OrmQ.objects.get()
    copies = [OrmQ.objects.create(key=message.key, payload=message.payload, lock=message.lock) for _ in range(3)]
    said = worker.drain()
    assert sorted(said) == ["stale"] * len(copies) + ["worked"]
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED
    assert Effect.objects.count() == 2


def test_a_turn_taken_by_one_worker_is_not_taken_by_another(owner, worker, other):
    job = services.submit(user=owner, operation="note", items=["a"])
    seq = Turn.objects.get().seq
    assert turns.take(job.pk, 0, seq, worker.holder) is not None
    assert turns.take(job.pk, 0, seq, other.holder) is None
    assert turns.take(job.pk, 0, seq + 1, other.holder) is None


def test_a_dead_cluster_claims_nothing(owner, worker):
    job = services.submit(user=owner, operation="note", items=["a"])
    taken = take(job, 0, worker)
    worker.die()
    assert chunks.claim(taken, worker.holder) is None
    assert Chunk.objects.get().epoch == 0


def test_no_more_workers_than_the_parallelism_work_on_a_job(owner, worker, other, settings):
    settings.BULKOPS = {"chunk_items": 1}
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"])
    taken = take(job, 0, worker)
    assert chunks.claim(taken, worker.holder) is not None
    assert other.step() is None


def test_a_slice_end_does_not_hand_on_a_turn_that_was_taken_back(owner, worker, other):
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    taken = take(job, 0, worker)
    claim = chunks.claim(taken, worker.holder)
    succeed(claim, 1)
    worker.die()
    other.rescue()
    before = list(OrmQ.objects.values_list("pk", flat=True))
    finishing.end_slice(taken, claim, Note(), {})
    assert list(OrmQ.objects.values_list("pk", flat=True)) == before
    assert len(before) == 1
    other.finish(job)
    assert job.state == JobState.COMPLETED


def test_the_fence_refuses_an_old_epoch_an_old_cursor_and_an_old_attempt(owner, worker):
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    claim = chunks.claim(take(job, 0, worker), worker.holder)
    statements = ItemStatements()
    statements.prepare()
    done = Result(state=OutcomeState.SUCCEEDED)
    statements.record(Try(claim=claim, position=0), Result(state=OutcomeState.DEFERRED, due_in_seconds=0))
    with pytest.raises(FenceLost):
        statements.record(Try(claim=claim, position=0), done)
    with pytest.raises(FenceLost):
        statements.record(Try(claim=claim, position=0, attempt=3), done)
    Chunk.objects.update(epoch=9)
    for refused in (
        lambda: statements.record(Try(claim=claim, position=1), done),
        lambda: statements.record(Try(claim=claim, position=0, attempt=2), done),
        lambda: statements.begin(Try(claim=claim, position=1)),
    ):
        with pytest.raises(FenceLost):
            refused()
    assert list(Outcome.objects.values_list("position", "state")) == [(0, "deferred")]
    assert Chunk.objects.get().deferred == 1


def test_the_last_item_wins_against_a_cancel(owner, worker):
    job = services.submit(user=owner, operation="ending", items=["a"])
    taken = take(job, 0, worker)
    claim = chunks.claim(taken, worker.holder)
    services.cancel(job=job, actor=owner)
    succeed(claim, 1)
    finishing.end_slice(taken, claim, Ending(), {"trouble": ""})
    job.refresh_from_db()
    assert job.state == JobState.COMPLETED


def test_a_lost_message_is_sent_again(owner, worker, settings):
    settings.BULKOPS = {"turn_grace_seconds": 0}
    job = services.submit(user=owner, operation="note", items=["a"])
    dispatch.withdraw(list(OrmQ.objects.values_list("pk", flat=True)))
    assert worker.rescue() == 1
    assert worker.rescue() == 0  # twice is harmless: the message waits
    worker.finish(job)
    assert job.state == JobState.COMPLETED


def test_a_message_claimed_by_a_worker_that_died_before_its_turn_is_sent_again(owner, worker, settings):
    settings.BULKOPS = {"turn_grace_seconds": 0}
    job = services.submit(user=owner, operation="note", items=["a"])
    claimed = worker._inbox._claim()
    assert claimed is not None
    assert worker.rescue() == 1
    assert runner.run_slice(job.pk, *claimed["args"][1:], worker.holder) == "stale"
    worker.finish(job)
    assert job.state == JobState.COMPLETED
    assert Effect.objects.count() == 1


def test_a_stop_that_nobody_holds_is_settled_by_rescue(owner, worker, other):
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    claim_of = take(job, 0, worker)
    chunks.claim(claim_of, worker.holder)
    assert services.cancel(job=job, actor=owner).state == JobState.CANCELLING
    worker.die()
    other.rescue()
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    assert job.slot is None


def test_cancel_takes_back_from_a_dead_holder_and_settles_at_once(owner, worker):
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    chunks.claim(take(job, 0, worker), worker.holder)
    worker.die()
    assert services.cancel(job=job, actor=owner).state == JobState.CANCELLED


def test_rows_of_clusters_that_died_a_day_ago_are_forgotten(worker, other):
    Cluster.objects.filter(pk=worker.cluster.pk).update(alive_until=from_now(-25 * 3600))
    rescue.forget_long_dead()
    assert list(Cluster.objects.values_list("pk", flat=True)) == [other.cluster.pk]


def test_a_failed_job_stops_its_other_workers(owner, worker, other, settings):
    settings.BULKOPS = {"chunk_items": 1}
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"], parallelism=2)
    claim = chunks.claim(take(job, 0, worker), worker.holder)
    finishing.fail(take(job, 1, other), "the other worker cannot go on", "error")
    statements = ItemStatements()
    statements.prepare()
    assert statements.record(Try(claim=claim, position=0), Result(state=OutcomeState.SUCCEEDED)) is True
    job.refresh_from_db()
    assert job.state == JobState.FAILED


def test_a_locked_job_is_skipped_by_rescue_and_mended_in_the_next_round(owner, worker, other):
    job = services.submit(user=owner, operation="note", items=["a"])
    chunks.claim(take(job, 0, worker), worker.holder)
    worker.die()
    moved = []

    def rescue() -> None:
        moved.append(other.rescue())
        connections.close_all()

    with transaction.atomic():
        transitions.lock_job(job.pk)
        thread = threading.Thread(target=rescue)
        thread.start()
        thread.join()
    assert moved == [0]
    assert other.rescue() == 1


def test_a_dead_cluster_takes_no_turn(owner, worker, other):
    job = services.submit(user=owner, operation="note", items=["a"])
    worker.die()
    assert take(job, 0, worker) is None
    assert take(job, 0, other) is not None


def in_another_session(do):
    """What it returns over a connection of its own that waits for no lock for long."""
    got = []

    def run() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '300ms'")
            got.append(do())
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return got[0]


def test_a_chunk_that_a_dying_session_still_locks_is_passed_over(owner, worker, settings):
    settings.BULKOPS = {"chunk_items": 1}
    job = services.submit(user=owner, operation="note", items=["a", "b"])
    taken = take(job, 0, worker)
    with transaction.atomic():
        Chunk.objects.select_for_update().get(job=job, number=0)
        claim = in_another_session(lambda: chunks.claim(taken, worker.holder))
    assert claim.number == 1


def test_a_message_that_another_session_locks_is_passed_over(owner, stranger, worker):
    for user in (owner, stranger):
        services.submit(user=user, operation="note", items=["a"])
    first, second = OrmQ.objects.order_by("lock", "pk")
    with transaction.atomic():
        OrmQ.objects.select_for_update().get(pk=first.pk)
        assert in_another_session(worker._inbox._claim)["ack_id"] == second.pk


def test_who_lost_its_turn_claims_nothing_and_frees_nothing_of_the_next_holder(owner, worker, other):
    job = services.submit(user=owner, operation="note", items=["a"])
    lost = take(job, 0, worker)
    claim = chunks.claim(lost, worker.holder)
    rescue.release_gone(worker.cluster, living=[])  # the process is gone; its cluster lives
    assert chunks.claim(lost, worker.holder) is None
    chunks.claim(take(job, 0, other), other.holder)
    with transaction.atomic():
        chunks.release(transitions.lock_job(job.pk), claim)
    assert Chunk.objects.get(job=job).holder_id == other.cluster.pk
