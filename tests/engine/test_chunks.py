"""From one chunk to the next in one statement, which sees what others did while it waited for the job."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest
from django.db import connection, connections, transaction
from django.db.models import F

from bulkops import holds, services, transitions
from bulkops.clock import ClockTimestamp, database_now
from bulkops.engine import chunks, turns
from bulkops.engine.allowance import Allowance
from bulkops.engine.statements import Claim, ItemStatements, Result, Try
from bulkops.models import Chunk, Job, Outcome, Turn
from bulkops.states import OutcomeState
from tests.clusters import wait_for
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def job(owner, settings):
    """Of three chunks of two items."""
    settings.BULKOPS = {"chunk_items": 2}
    return services.submit(user=owner, operation="note", items=list("abcdef"))


@pytest.fixture
def taken(job, worker):
    """Its turn, in the worker's hand."""
    return turns.take(job.pk, 0, 0, worker.holder)


@pytest.fixture
def first(taken, worker):
    """The first chunk, worked to its end and not let go of."""
    claim = chunks.claim(taken, worker.holder)
    record(claim, 0), record(claim, 1)
    return claim


def record(claim, offset: int, state=OutcomeState.SUCCEEDED, attempt=1, due=0.0) -> None:
    statements = ItemStatements()
    statements.prepare()
    one = Try(claim=claim, position=claim.start + offset, attempt=attempt)
    statements.record(one, Result(state=state, due_in_seconds=due))


def held(job: Job) -> list[int]:
    return list(job.chunks.filter(holder__isnull=False).order_by("number").values_list("number", flat=True))


def test_the_chunk_that_is_done_is_free_and_the_next_one_held(job, taken, first, worker):
    second = chunks.claim(taken, worker.holder, None, first)
    assert (second.number, second.start, second.size, second.epoch) == (1, 2, 2, 1)
    assert chunks.items_of(second).items == ["c", "d"]
    assert held(job) == [1]


def test_the_last_one_is_let_go_of_though_there_is_no_other(job, taken, first, worker):
    claim = first
    for number in (1, 2):
        claim = chunks.claim(taken, worker.holder, None, claim)
        assert claim.number == number
        record(claim, 0), record(claim, 1)
    assert chunks.claim(taken, worker.holder, None, claim) is None
    assert held(job) == []


def test_a_chunk_that_was_taken_back_is_not_let_go_of_for_its_next_holder(job, taken, first, worker):
    other = InProcessWorker()
    job.chunks.filter(number=0).update(epoch=F("epoch") + 1, holder=other.cluster, worker=9)
    assert chunks.claim(taken, worker.holder, None, first).number == 1
    assert Chunk.objects.get(job=job, number=0).worker == 9


def test_letting_go_notes_when_the_next_deferred_item_comes_round(job, taken, worker):
    claim = chunks.claim(taken, worker.holder)
    record(claim, 0, OutcomeState.DEFERRED)
    record(claim, 1, OutcomeState.DEFERRED, due=1_000)
    record(claim, 0, attempt=2)
    assert Chunk.objects.get(pk=claim.chunk_id).due < database_now()
    assert chunks.claim(taken, worker.holder, None, claim).number == 1
    assert Chunk.objects.get(pk=claim.chunk_id).due == Outcome.objects.get(job=job, position=1).due
    assert Chunk.objects.get(pk=claim.chunk_id).due > database_now() + timedelta(seconds=900)


def test_a_flag_that_only_ended_a_slice_is_gone_with_the_chunk(job, taken, first, worker):
    job.chunks.filter(number=0).update(stop=True)
    assert chunks.claim(taken, worker.holder, None, first) is not None
    assert not job.chunks.filter(stop=True).exists()


def take_turn_back(job: Job) -> None:
    Turn.objects.filter(job=job).update(seq=F("seq") + 1, holder=None, worker=None)


def pause(job: Job) -> None:
    holds.pause(job, "somebody wants it")


def limit(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(rate_per_second=0.001, rate_from=ClockTimestamp() + timedelta(hours=1))


def die(job: Job) -> None:
    job.chunks.get(number=0).holder.delete()


def while_it_waits(job, do, claim) -> list:
    """What the claim came to, where somebody did this to the job while the claim waited for its lock."""
    got = []

    def play() -> None:
        got.append(claim())
        connections.close_all()

    def waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))")
            return cursor.fetchone()[0]

    thread = threading.Thread(target=play)
    with transaction.atomic():
        locked = transitions.lock_job(job.pk)
        thread.start()
        wait_for(waits, 10, "the claim to wait")
        do(locked)
    thread.join()
    return got


@pytest.mark.parametrize("do", [take_turn_back, pause, die])
def test_what_happened_while_the_claim_waited_for_the_job_counts(job, taken, first, worker, do):
    assert while_it_waits(job, do, lambda: chunks.claim(taken, worker.holder, None, first)) == [None]
    assert held(job) == []
    assert list(job.chunks.filter(epoch=0).values_list("number", flat=True)) == [1, 2]


def test_a_limit_that_came_while_the_claim_waited_for_the_job_is_kept(job, taken, first, worker):
    allowance = Allowance(job.pk)
    assert while_it_waits(job, limit, lambda: chunks.claim(taken, worker.holder, allowance, first)) == [None]
    assert held(job) == []


def test_a_chunk_that_somebody_claimed_while_the_claim_waited_is_passed_over(job, taken, first, worker):
    other = InProcessWorker()

    def claim_the_next(locked: Job) -> None:
        locked.chunks.filter(number=1).update(epoch=F("epoch") + 1, holder=other.cluster, worker=9)

    (claimed,) = while_it_waits(job, claim_the_next, lambda: chunks.claim(taken, worker.holder, None, first))
    assert claimed.number == 2
    assert list(job.chunks.order_by("number").values_list("worker", flat=True)) == [None, 9, worker.holder.worker]


def pages_of_chunks() -> int:
    """Of the chunks' table and indexes that this session looked at; to be compared within one transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sum(pg_stat_get_xact_blocks_fetched(oid)) FROM (SELECT 'bulkops_chunk'::regclass AS oid"
            " UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = 'bulkops_chunk'::regclass) one"
        )
        return int(cursor.fetchone()[0])


def claimed_looking_at(taken, worker, done) -> tuple[Claim, int]:
    """The next chunk, and how many pages it took to find and claim it."""
    with transaction.atomic():
        before = pages_of_chunks()
        return chunks.claim(taken, worker.holder, None, done), pages_of_chunks() - before


@contextmanager
def many_old_versions(job, *, done, each):
    """So many of the first chunks are done, and somebody's snapshot keeps each version that they had."""
    with closing(connection.copy()) as line, line.cursor() as elsewhere:
        elsewhere.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        elsewhere.execute("SELECT count(*) FROM bulkops_chunk")
        chunks_done = job.chunks.filter(number__lt=done)
        for _ in range(each):
            chunks_done.update(succeeded=F("succeeded") + 1, cursor=F("cursor") + 1)
        chunks_done.update(finished=True, holder=None)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE bulkops_chunk")
        yield


def test_a_claim_looks_at_as_little_late_in_a_job_as_early_while_a_snapshot_keeps_every_old_version(owner, worker):
    job = services.submit(user=owner, operation="note", items=range(40_000), parallelism=1)
    taken = turns.take(job.pk, 0, 0, worker.holder)
    second, cost_early = claimed_looking_at(taken, worker, chunks.claim(taken, worker.holder))
    with many_old_versions(job, done=30, each=60):
        thirtieth = chunks.claim(taken, worker.holder, None, second)
        late, cost_late = claimed_looking_at(taken, worker, thirtieth)
    assert (second.number, thirtieth.number, late.number) == (1, 30, 31)
    assert 0 < cost_late <= 2 * cost_early


@pytest.mark.slow
@pytest.mark.parametrize("look", [holds.is_complete, holds.next_due])
def test_whether_there_is_more_to_do_is_seen_as_quickly_late_in_a_job_while_a_snapshot_keeps_every_old_version(
    owner, settings, look
):
    settings.BULKOPS = {"chunk_items": 100}
    job = services.submit(user=owner, operation="note", items=range(100_000), parallelism=1)

    def looked_at() -> int:
        with transaction.atomic():
            before = pages_of_chunks()
            look(job)
            return pages_of_chunks() - before

    with many_old_versions(job, done=1, each=1):
        early = looked_at()
    with many_old_versions(job, done=950, each=90):
        late = looked_at()
    assert 0 < late <= 2 * early


def test_what_came_free_behind_is_claimed_when_nothing_is_ahead_and_first_of_all_at_the_next_slice(
    job, taken, first, worker
):
    second = chunks.claim(taken, worker.holder, None, first)
    third = chunks.claim(taken, worker.holder, None, second)
    assert third.number == 2
    fourth = chunks.claim(taken, worker.holder, None, third)
    assert fourth.number == 1, "the second chunk, not worked, lies behind the third"
    job.chunks.filter(number=1).update(holder=None, worker=None)
    assert chunks.claim(taken, worker.holder).number == 1
