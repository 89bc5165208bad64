"""Failures are counted by group as they are recorded: exactly, fenced, and at no cost to what does not fail."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, connections, transaction

from bulkops import failure_groups, fingerprints, services, transitions, what_failed
from bulkops.engine import casualties, chunks, late_results, turns
from bulkops.engine.hand import Doing, InHand
from bulkops.engine.statements import ItemStatements, Result, Try
from bulkops.exceptions import FenceLost
from bulkops.models import Chunk, FailureGroup, Outcome
from bulkops.states import OutcomeState
from bulkops.verify import verify
from tests.clusters import wait_for
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)

FAILED = Result(state=OutcomeState.FAILED, error_code="ValueError", message="ValueError: no price")
DOUBT = Result(state=OutcomeState.IN_DOUBT, error_code="in-doubt", message="no answer")


def submit(owner, *items, **what):
    return services.submit(user=owner, operation="telling", items=list(items), **what)


def groups(job):
    return [(group.count, group.words, group.positions) for group in what_failed.of(job).groups]


def claimed(job, worker, number=0):
    turn = turns.take(job.pk, number, 0, worker.holder)
    return chunks.claim(turn, worker.holder)


def test_failures_that_are_alike_are_counted_together_with_three_samples(owner, worker):
    job = submit(owner, "no ticket 1", "fine", "no price", *(f"no ticket {n}" for n in range(2, 6)))
    worker.finish(job)
    assert groups(job) == [(5, "no ticket …", (0, 3, 4)), (1, "no price", (2,))]
    found = what_failed.of(job)
    assert [sample.message for sample in found.samples[found.groups[0].fingerprint]][:2] == [
        "ValueError: no ticket 1",
        "ValueError: no ticket 2",
    ]
    assert found.ungrouped == 0
    assert verify(job.pk).disagreements == []


def test_an_item_that_does_not_fail_pays_nothing(owner, worker, monkeypatch):
    job = submit(owner, "fine", "no price", "fine", "no price")
    sent, real = [], ItemStatements._execute

    def spy(statements, sql, values):
        sent.append(sql.split()[1])
        return real(statements, sql, values)

    asked = []
    monkeypatch.setattr(ItemStatements, "_execute", spy)
    monkeypatch.setattr(failure_groups.Groups, "_read", lambda self, chunk: asked.append(chunk))
    worker.finish(job)
    assert sent == ["bulkops_succeed", "bulkops_advance_failed"] * 2
    assert len(asked) == 1, "the slice reads the groups once"


def test_a_deferred_item_counts_once_when_it_has_failed(owner, worker):
    job = submit(owner, "no price", "fine")
    claim = claimed(job, worker)
    statements = ItemStatements()
    statements.prepare()
    statements.record(Try(claim=claim, position=0), Result(state=OutcomeState.DEFERRED, message="no price"))
    assert groups(job) == []
    statements.record(Try(claim=claim, position=0, attempt=2), FAILED)
    assert groups(job) == [(1, "no price", (0,))]
    assert verify(job.pk).agrees


def test_beyond_fifty_groups_the_rest_is_one(owner, worker):
    kinds = [f"no {a}{b}" for a in "abcdefgh" for b in "abcdefgh"]
    job = submit(owner, *kinds, "no aa", "no hh")
    worker.finish(job)
    found = what_failed.of(job).groups
    assert len(found) == failure_groups.MOST + 1
    assert (found[0].fingerprint, found[0].words, found[0].count) == ("other", "Other errors", 15)
    assert (found[1].words, found[1].count) == ("no aa", 2)
    assert Outcome.objects.filter(job=job, fingerprint="other").count() == 15
    assert verify(job.pk).agrees


def test_two_workers_at_once_do_not_wait_for_each_others_counter(owner, worker, settings):
    settings.BULKOPS = {"chunk_items": 1}
    job = submit(owner, "no price", "no price", parallelism=2)
    mine, theirs = claimed(job, worker), claimed(job, InProcessWorker(), 1)
    done = threading.Event()

    def record_too() -> None:
        statements = ItemStatements(shard=1)
        statements.prepare()
        statements.record(Try(claim=theirs, position=1), FAILED)
        connections.close_all()
        done.set()

    statements = ItemStatements(shard=0)
    statements.prepare()
    with transaction.atomic():
        statements.record(Try(claim=mine, position=0), FAILED)
        thread = threading.Thread(target=record_too)
        thread.start()
        assert done.wait(10), "it waits for a row that is not its own"
    thread.join()
    assert FailureGroup.objects.filter(job=job).count() == 2
    assert groups(job) == [(2, "no price", (0, 1))]
    assert verify(job.pk).agrees


def test_each_turn_counts_in_a_shard_of_its_own(owner, worker, settings):
    settings.BULKOPS = {"chunk_items": 1, "slice_seconds": 0}
    job = submit(owner, *["no price"] * 8, parallelism=2)
    worker.finish(job)
    assert set(FailureGroup.objects.filter(job=job).values_list("shard", flat=True)) == {0, 1}
    assert groups(job) == [(8, "no price", (0, 1, 2))]


def test_a_failure_that_comes_too_late_is_not_counted(owner, worker):
    job = submit(owner, "no price")
    claim = claimed(job, worker)
    Chunk.objects.filter(job=job).update(epoch=99)
    statements = ItemStatements()
    statements.prepare()
    with pytest.raises(FenceLost):
        statements.record(Try(claim=claim, position=0), FAILED)
    assert groups(job) == []


def test_an_item_that_overstays_is_counted(owner, worker):
    job = submit(owner, "fine", "fine")
    claim = claimed(job, worker)
    hand = InHand(
        doing=Doing.ITEM, job_id=job.pk, limit_seconds=1, chunk_id=claim.chunk_id, epoch=claim.epoch, position=0
    )
    assert casualties.record(hand, timed_out=True)
    assert groups(job) == [(1, "The item took longer than … s and was stopped.", (0,))]
    assert FailureGroup.objects.get(job=job).shard == failure_groups.UNDER_THE_JOBS_LOCK
    assert verify(job.pk).agrees


def in_doubt(job, worker, number=2):
    claim = claimed(job, worker)
    statements = ItemStatements()
    statements.prepare()
    tries = [Try(claim=claim, position=position) for position in range(number)]
    for one in tries:
        statements.record(one, DOUBT)
    return tries


def test_doubts_decided_as_failed_are_one_group_whatever_the_reason(owner, worker):
    job = submit(owner, "a", "b", "c")
    in_doubt(job, worker, 3)
    for position, (decision, reason) in enumerate([("failed", "not in the list"), ("failed", "asked"), ("done", "")]):
        services.decide(job=job, position=position, decision=decision, actor=owner, reason=reason)
    assert groups(job) == [(2, "Decided as failed. Before: no answer", (0, 1))]
    assert verify(job.pk).agrees


def test_a_late_failure_that_settles_a_doubt_is_counted(owner, worker):
    job = submit(owner, "a", "b")
    tries = in_doubt(job, worker)
    late_results.settle(job.pk, tries[0], FAILED)
    late_results.settle(job.pk, tries[0], FAILED)
    late_results.settle(job.pk, tries[1], Result(state=OutcomeState.SUCCEEDED))
    assert groups(job) == [(1, "no price", (0,))]
    assert verify(job.pk).agrees


def test_whoever_holds_the_jobs_lock_holds_no_worker_up(owner, worker):
    """It may go on to lock chunks, and a worker holds its chunk while it counts."""
    job = submit(owner, "a", "b")
    claim = claimed(job, worker)
    statements = ItemStatements()
    statements.prepare()
    statements.record(Try(claim=claim, position=0), DOUBT)
    done = threading.Event()

    def fail_too() -> None:
        other = ItemStatements()
        other.prepare()
        other.record(Try(claim=claim, position=1), FAILED)
        connections.close_all()
        done.set()

    with transaction.atomic():
        transitions.lock_job(job.pk)
        failure_groups.count(claim.chunk_id, 0, FAILED.error_code, FAILED.message)
        thread = threading.Thread(target=fail_too)
        thread.start()
        assert done.wait(10), "it waits for a row that is not its own"
        transaction.set_rollback(True)
    thread.join()
    assert verify(job.pk).agrees


def test_a_failure_that_could_not_be_stored_is_in_a_group_too(owner, worker, monkeypatch):
    monkeypatch.setattr("bulkops.engine.results.storable.text", lambda text, limit: str(text).replace("bad", "\x00"))
    job = services.submit(user=owner, operation="habits", items=["raise"])
    worker.finish(job)
    assert groups(job) == [(1, "(this text could not be stored)", (0,))]
    assert verify(job.pk).agrees


def test_what_former_code_recorded_has_no_group_and_is_not_hidden(owner, worker):
    job = submit(owner, "no price", "no price")
    worker.finish(job)
    FailureGroup.objects.all().delete()
    Outcome.objects.update(fingerprint="")
    found = what_failed.of(job)
    assert (found.groups, found.ungrouped) == ((), 2)
    assert verify(job.pk).agrees


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE bulkops_failuregroup SET count = 3", "counts 3 failures, the outcomes say 2"),
        ("DELETE FROM bulkops_failuregroup", "counts 0 failures, the outcomes say 2"),
        ("UPDATE bulkops_outcome SET fingerprint = '' WHERE position = 1", "counts 2 failures, the outcomes say 1"),
        (
            "UPDATE bulkops_outcome o SET fingerprint = g.fingerprint FROM bulkops_failuregroup g WHERE position = 2",
            "1 outcomes have its fingerprint and did not fail",
        ),
        ("UPDATE bulkops_failuregroup SET samples = ARRAY[0, 2]", "1 of its samples are not its own"),
    ],
)
def test_a_group_that_does_not_fit_the_ledger_is_found(owner, worker, sql, words):
    job = submit(owner, "no price", "no price", "fine")
    worker.finish(job)
    with connection.cursor() as cursor:
        cursor.execute(sql)
    fingerprint = fingerprints.of("ValueError", "no price").fingerprint
    assert f"group {fingerprint}: {words}" in verify(job.pk).disagreements


@pytest.mark.slow
def test_four_real_workers_count_every_failure_once(owner, clusters, settings):
    clusters(workers=4)
    items = [("fine", "no price", "later no seat", f"no ticket {n}")[n % 4] for n in range(2000)]
    job = submit(owner, *items, parallelism=4)
    wait_for(lambda: not type(job).objects.get(pk=job.pk).is_active, 60, "the job's end")
    job.refresh_from_db()
    assert sorted(count for count, *_ in groups(job)) == [500, 500, 500]
    assert verify(job.pk).disagreements == []
