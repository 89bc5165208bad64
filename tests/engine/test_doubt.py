"""With `in_doubt = "hold"` an item that was begun is never begun again by itself, whatever became of its worker."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction

from bulkops import holds, services, transitions
from bulkops.engine import casualties, chunks, turns
from bulkops.engine.hand import Doing, InHand
from bulkops.engine.statements import ItemStatements, Result, Try
from bulkops.exceptions import FenceLost, InDoubt, RetryAfter
from bulkops.models import Chunk, Event, Job, Outcome, Turn
from bulkops.states import EventKind, JobState, OutcomeState
from bulkops.verify import verify
from tests.sample.models import Effect
from tests.sample.operations import Holding, Passing
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other(worker):
    return InProcessWorker()


@pytest.fixture
def meanwhile(monkeypatch):
    """What happens while an item is in hand."""
    happening: dict = {}
    monkeypatch.setattr(Holding, "meanwhile", happening)
    return happening


def begin(job: Job, worker: InProcessWorker, position: int = 0):
    """As far as a worker gets that dies with an item in hand."""
    turn = Turn.objects.get(job=job, number=0)
    taken = turns.take(job.pk, 0, turn.seq, worker.holder)
    claim = chunks.claim(taken, worker.holder)
    statements = ItemStatements()
    statements.prepare()
    for offset in range(position):
        statements.record(Try(claim=claim, position=offset), Result(state=OutcomeState.SUCCEEDED))
    one = Try(claim=claim, position=position)
    statements.begin(one)
    return one


def outcomes(job: Job):
    return list(Outcome.objects.filter(job=job).order_by("position").values_list("position", "state", "attempt"))


def effects():
    return list(Effect.objects.order_by("pk").values_list("item", flat=True))


def in_hand(one: Try, job: Job) -> InHand:
    claim = one.claim
    return InHand(
        doing=Doing.ITEM,
        job_id=job.pk,
        limit_seconds=5,
        chunk_id=claim.chunk_id,
        epoch=claim.epoch,
        position=one.position,
        attempt=one.attempt,
    )


def submit(owner, *items):
    return services.submit(user=owner, operation="holding", items=list(items))


def test_an_item_in_the_hand_of_a_lost_host_is_set_aside_and_the_others_go_on(owner, worker, other):
    job = submit(owner, "a", "b", "c")
    begin(job, worker, position=1)
    worker.die()
    other.rescue()
    other.finish(job)
    assert outcomes(job) == [(0, "succeeded", 1), (1, "in_doubt", 1), (2, "succeeded", 1)]
    assert effects() == ["c"]
    assert job.state == JobState.COMPLETED_WITH_ERRORS
    assert "Item 1: Its worker was lost" in Event.objects.get(kind=EventKind.SET_ASIDE).detail
    assert verify(job.pk).agrees


def test_the_last_item_set_aside_leaves_a_job_that_can_end(owner, worker, other):
    job = submit(owner, "a")
    begin(job, worker)
    worker.die()
    other.rescue()
    other.finish(job)
    assert (job.state, outcomes(job)) == (JobState.COMPLETED_WITH_ERRORS, [(0, "in_doubt", 1)])


def test_another_try_of_a_deferred_item_is_set_aside_too(owner, worker, other, meanwhile):
    def die(context):
        if context.attempt == 1:
            raise Passing("later")
        worker.die()
        other.rescue()
        seen.append(outcomes(job)[0])
        raise InDoubt("no answer, and too late")

    seen: list = []
    meanwhile["a"] = die
    job = submit(owner, "a", "b")
    worker.drain()
    other.finish(job)
    assert seen == [(0, "in_doubt", 2)]
    assert outcomes(job) == [(0, "in_doubt", 2), (1, "succeeded", 1)]
    assert effects().count("a") == 2
    assert verify(job.pk).agrees


def test_an_item_that_was_not_begun_is_simply_unprocessed(owner, worker, other):
    job = submit(owner, "a", "b")
    turn = Turn.objects.get(job=job)
    chunks.claim(turns.take(job.pk, 0, turn.seq, worker.holder), worker.holder)
    worker.die()
    other.rescue()
    other.finish(job)
    assert effects() == ["a", "b"]
    assert job.state == JobState.COMPLETED


def test_cancelling_a_job_whose_worker_is_gone_does_not_call_the_item_unprocessed(owner, worker):
    job = submit(owner, "a", "b")
    begin(job, worker)
    worker.die()
    services.cancel(job=job, actor=owner)
    job.refresh_from_db()
    assert (job.state, outcomes(job)) == (JobState.CANCELLED, [(0, "in_doubt", 1)])
    assert verify(job.pk).agrees


@pytest.mark.parametrize(("timed_out", "code"), [(True, "timed-out"), (False, "in-doubt")])
def test_an_item_that_overstays_or_kills_its_worker_is_in_doubt_at_the_first_time(owner, worker, timed_out, code):
    job = submit(owner, "a", "b")
    one = begin(job, worker)
    assert casualties.record(in_hand(one, job), timed_out=timed_out)
    outcome = Outcome.objects.get()
    assert (outcome.state, outcome.error_code) == (OutcomeState.IN_DOUBT, code)
    assert "may or may not have happened" in outcome.message
    assert Chunk.objects.get().in_hand is None
    assert casualties.record(in_hand(one, job), timed_out=timed_out), "told twice, as after an outage"
    assert Outcome.objects.count() == 1
    assert verify(job.pk).agrees


def test_a_worker_that_lost_its_chunk_does_not_begin(owner, worker, other):
    job = submit(owner, "a")
    one = begin(job, worker)
    Chunk.objects.update(epoch=9)
    statements = ItemStatements()
    statements.prepare()
    with pytest.raises(FenceLost):
        statements.begin(one)


def test_a_result_that_comes_late_settles_the_doubt(owner, worker, other, meanwhile):
    def be_thought_dead(context):
        worker.die()
        other.rescue()
        assert Outcome.objects.get(position=0).state == OutcomeState.IN_DOUBT
        return {"refund": 7}

    meanwhile["a"] = be_thought_dead
    job = submit(owner, "a", "b")
    worker.step()
    known = Outcome.objects.get(position=0)
    assert (known.state, known.result, known.message) == (OutcomeState.SUCCEEDED, {"refund": 7}, "")
    assert "in doubt: succeeded after all" in Event.objects.get(kind=EventKind.LATE_RESULT).detail
    other.finish(job)
    assert (job.state, effects()) == (JobState.COMPLETED, ["a", "b"])
    assert verify(job.pk).agrees


@pytest.mark.parametrize(
    ("raised", "state", "end"),
    [
        (None, OutcomeState.SUCCEEDED, JobState.COMPLETED),
        (ValueError("card expired"), OutcomeState.FAILED, JobState.COMPLETED_WITH_ERRORS),
        (RetryAfter(1, "429"), OutcomeState.FAILED, JobState.COMPLETED_WITH_ERRORS),
        (InDoubt("no answer"), OutcomeState.IN_DOUBT, JobState.COMPLETED_WITH_ERRORS),
    ],
)
def test_a_result_that_comes_after_the_end_of_its_job_still_counts(owner, worker, other, meanwhile, raised, state, end):
    def outlive_the_job(context):
        worker.die()
        other.rescue()
        other.finish(job)
        assert job.state == JobState.COMPLETED_WITH_ERRORS
        if raised is not None:
            raise raised

    meanwhile["a"] = outlive_the_job
    job = submit(owner, "a", "b")
    worker.step()
    ended_at = job.finished_at
    job.refresh_from_db()
    assert (Outcome.objects.get(position=0).state, job.state) == (state, end)
    assert job.finished_at == ended_at
    assert effects() == ["a", "b"]
    assert verify(job.pk).agrees


def test_a_retry_that_took_nothing_keeps_no_late_result_from_settling(owner, worker, other, meanwhile):
    def outlive_a_retry(context):
        worker.die()
        other.rescue()
        other.finish(job)
        child = services.retry(job=job, actor=owner, items="in_doubt")
        services.cancel(job=child, actor=owner)

    meanwhile["a"] = outlive_a_retry
    job = submit(owner, "a")
    worker.step()
    job.refresh_from_db()
    assert (outcomes(job), job.state) == ([(0, "succeeded", 1)], JobState.COMPLETED)


def test_a_late_result_of_an_item_that_a_retry_has_taken_settles_nothing(owner, worker, other, meanwhile):
    def be_overtaken(context):
        if context.job_id != job.pk:
            return
        worker.die()
        other.rescue()
        other.finish(job)
        other.finish(services.retry(job=job, actor=owner, items="in_doubt"))

    meanwhile["a"] = be_overtaken
    job = submit(owner, "a")
    worker.step()
    job.refresh_from_db()
    assert (outcomes(job), job.state) == ([(0, "in_doubt", 1)], JobState.COMPLETED_WITH_ERRORS)
    assert Event.objects.filter(job=job, kind=EventKind.LATE_RESULT).count() == 1


def test_a_refusal_that_came_in_time_is_asked_again(owner, worker, meanwhile):
    def refuse_once(context):
        if context.attempt == 1:
            raise RetryAfter(0, "503")

    meanwhile["a"] = refuse_once
    job = submit(owner, "a")
    worker.finish(job)
    assert outcomes(job) == [(0, "succeeded", 2)]


def test_taking_back_waits_for_a_commit_under_way_and_sets_nothing_aside(owner, worker):
    job = submit(owner, "a", "b")
    one = begin(job, worker)
    committing, told = threading.Event(), threading.Event()

    def commit() -> None:
        statements = ItemStatements()
        statements.prepare()
        with transaction.atomic():
            statements.record(one, Result(state=OutcomeState.SUCCEEDED))
            committing.set()
            told.wait(5)
        connections.close_all()

    def take_back() -> None:
        with transaction.atomic():
            holds.take_back(transitions.lock_job(job.pk), holds.Q(holder__isnull=False))
        connections.close_all()

    threads = [threading.Thread(target=commit), threading.Thread(target=take_back)]
    threads[0].start()
    committing.wait(5)
    threads[1].start()
    threads[1].join(0.3)
    assert threads[1].is_alive(), "it waits for the row"
    told.set()
    for thread in threads:
        thread.join(5)
    assert outcomes(job) == [(0, "succeeded", 1)]
    assert Chunk.objects.get().holder_id is None


def test_no_item_begins_between_the_look_at_what_is_in_hand_and_the_fence(owner, worker):
    job = submit(owner, "a", "b")
    one = Try(claim=chunks.claim(turns.take(job.pk, 0, 0, worker.holder), worker.holder), position=0)
    came = []

    def begin_now() -> None:
        statements = ItemStatements()
        statements.prepare()
        try:
            statements.begin(one)
            came.append("begun")
        except FenceLost:
            came.append("too late")
        connections.close_all()

    thread = threading.Thread(target=begin_now)

    def interfere(execute, sql, *arguments):
        if sql.startswith('UPDATE "bulkops_chunk" SET "epoch"'):
            thread.start()
            thread.join(0.3)  # as far as it gets
            came.append("fence")
        return execute(sql, *arguments)

    with connection.execute_wrapper(interfere), transaction.atomic():
        holds.force(transitions.lock_job(job.pk), "it hangs", actor=owner)
    thread.join(5)
    assert came == ["fence", "too late"]


@pytest.mark.parametrize("items", [("a", "b"), ("a",)])
def test_what_a_leader_of_the_code_before_took_back_is_set_aside_by_the_next_holder(owner, worker, other, items):
    job = submit(owner, *items)
    begin(job, worker)
    Turn.objects.update(holder=None, worker=None, seq=5, message_id=None, due=None)
    Chunk.objects.update(holder=None, worker=None, epoch=5)
    other.rescue()
    other.finish(job)
    assert outcomes(job)[0] == (0, "in_doubt", 1)
    assert (job.state, effects()) == (JobState.COMPLETED_WITH_ERRORS, list(items[1:]))
    assert verify(job.pk).agrees


def test_a_note_that_a_worker_of_the_code_before_left_standing_stops_no_rescue(owner, worker, other):
    job = submit(owner, "a", "b")
    one = begin(job, worker)
    statements = ItemStatements()
    statements.prepare()
    statements.record(one, Result(state=OutcomeState.SUCCEEDED))
    Chunk.objects.update(in_hand=0, in_hand_attempt=1)
    worker.die()
    other.rescue()
    other.finish(job)
    assert outcomes(job) == [(0, "succeeded", 1), (1, "succeeded", 1)]
    assert verify(job.pk).agrees


def test_other_operations_pay_no_commit_for_it(owner, worker, monkeypatch):
    begun = []
    monkeypatch.setattr(ItemStatements, "begin", lambda self, one: begun.append(one))
    worker.finish(services.submit(user=owner, operation="habits-outside", items=["a"]))
    assert begun == []
    worker.finish(submit(owner, "a"))
    assert len(begun) == 1
