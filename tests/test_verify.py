"""verify: agrees with every honest job at every moment, and finds each kind of disagreement."""

from __future__ import annotations

import time
import tracemalloc
import zlib

import pytest
from django.db import connection

from bulkops import services
from bulkops.models import Chunk, Job, Manifest, Outcome
from bulkops.states import JobState, OutcomeState
from bulkops.verify import verify

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _small_chunks(settings):
    settings.BULKOPS = {"chunk_items": 4}


@pytest.fixture
def done(owner, worker):
    """A completed job of three chunks: 4, 4 and 2 items."""
    return worker.finish(services.submit(user=owner, operation="note", items=list("abcdefghij")))


@pytest.fixture
def mixed(owner, worker):
    """A job whose items ended in every way."""
    items = ["fine", "raise", "skip", "doubt", "pass-by", "raise", "fine"]
    return worker.finish(services.submit(user=owner, operation="habits", items=items))


def points(job):
    """The disagreements."""
    verdict = verify(job.pk)
    return verdict.disagreements


@pytest.fixture
def tamper():
    """Runs SQL with the table's own check constraints out of the way, and puts them back."""
    dropped = []

    def run(sql, *values, without=()):
        with connection.cursor() as cursor:
            for table, name in without:
                cursor.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [name])
                dropped.append((table, name, cursor.fetchone()[0]))
                cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
            cursor.execute(sql, values)

    yield run
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE bulkops_job CASCADE")
        for table, name, definition in dropped:
            cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


SUMS = (("bulkops_chunk", "bulkops_chunk_counts_add_up"), ("bulkops_chunk", "bulkops_chunk_cursor_inside"))
SLOT = (("bulkops_job", "bulkops_slot_while_active"),)


def test_an_honest_job_agrees(done):
    verdict = verify(done.pk)
    assert verdict.agrees
    assert (verdict.state, verdict.total, verdict.items, verdict.chunks, verdict.outcomes) == (
        "completed",
        10,
        10,
        3,
        10,
    )


def test_every_kind_of_outcome_is_counted(mixed):
    verdict = verify(mixed.pk)
    assert verdict.disagreements == []
    assert verdict.found == {"succeeded": 3, "skipped": 1, "failed": 2, "in_doubt": 1, "deferred": 0}


def test_a_job_agrees_in_every_state_on_its_way(owner, worker, settings):
    settings.BULKOPS = {"chunk_items": 4, "slice_seconds": 0}
    job = services.submit(user=owner, operation="habits", items=["fine"] * 5 + ["never-pass-by"] + ["fine"] * 4)
    seen = set()
    while worker.step() or Job.objects.active().exists():
        assert points(job) == []
        job.refresh_from_db()
        seen.add(job.state)
    assert points(job) == []
    assert JobState.RUNNING in seen


@pytest.mark.parametrize("how", ["9", "half", "nothing", "raise"])
def test_a_collecting_job_agrees_before_and_after(owner, worker, how):
    job = services.submit(user=owner, operation="collecting", params={"how": how})
    assert points(job) == []
    worker.finish(job)
    assert points(job) == []


def test_a_cancelled_and_a_paused_job_agree(owner, worker, settings):
    settings.BULKOPS = {"chunk_items": 4, "slice_seconds": 0}
    job = services.submit(user=owner, operation="note", items=list("abcdefghij"))
    worker.step()
    services.pause(job=job, actor=owner)
    assert points(job) == []
    services.cancel(job=job, actor=owner)
    assert points(job) == []
    assert verify(job.pk).outcomes == 1


def test_an_unknown_job_is_none(done):
    assert verify("00000000-0000-0000-0000-000000000000") is None


def test_it_will_not_look_from_inside_a_transaction(done):
    from django.db import transaction

    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        verify(done.pk)


def test_all_is_read_in_one_snapshot_that_cannot_write(done, monkeypatch):
    from bulkops import verify as module

    modes = []
    real = module._chunk_rows

    def look(job_id):
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')")
            modes.append(cursor.fetchone())
        return real(job_id)

    monkeypatch.setattr(module, "_chunk_rows", look)
    verify(done.pk)
    assert modes == [("repeatable read", "on")]


# -- each kind of disagreement


def test_a_lost_outcome_is_found(done):
    Outcome.objects.filter(job=done, position=5).delete()
    assert points(done) == [
        "chunk 1: counts 4 succeeded, its outcomes say 3",
        "chunk 1: the cursor is at 4, but there are 3 outcomes",
        "chunk 1: 3 outcomes lie between positions 4 and 7, expected 4 to 6",
        "job: is completed, but 9 of 10 items are processed",
    ]


def test_a_lost_first_outcome_is_found(done):
    Outcome.objects.filter(job=done, position=4).delete()
    assert "chunk 1: 3 outcomes lie between positions 5 and 7, expected 4 to 6" in points(done)


def test_an_outcome_outside_of_all_items_is_found(done):
    outcome = Outcome.objects.get(job=done, position=9)
    outcome.position = 12
    outcome.save(force_insert=True)
    assert points(done) == ["outcomes: outside of all chunks at positions 12"]


def test_an_outcome_ahead_of_the_cursor_is_found(owner, worker, settings):
    settings.BULKOPS = {"chunk_items": 4, "slice_seconds": 0}
    job = services.submit(user=owner, operation="note", items=list("abcdefghij"))
    worker.step()
    outcome = Outcome.objects.get(job=job)
    outcome.position = 2
    outcome.save(force_insert=True)
    assert "chunk 0: the cursor is at 1, but there are 2 outcomes" in points(job)
    assert "chunk 0: 2 outcomes lie between positions 0 and 2, expected 0 to 1" in points(job)


def test_a_counter_that_lies_is_found(done):
    Chunk.objects.filter(job=done, number=2).update(succeeded=1, failed=1)
    assert points(done) == [
        "chunk 2: counts 1 succeeded, its outcomes say 2",
        "chunk 2: counts 1 failed, its outcomes say 0",
    ]


def test_an_outcome_whose_state_was_changed_is_found(mixed):
    Outcome.objects.filter(job=mixed, position=0).update(state=OutcomeState.SKIPPED)
    assert "chunk 0: counts 1 skipped, its outcomes say 2" in points(mixed)


def test_an_outcome_of_an_unknown_state_is_found(done):
    Outcome.objects.filter(job=done, position=0).update(state="lost")
    assert "chunk 0: 1 outcomes have no known state" in points(done)


def test_a_cursor_that_lies_is_found(done, tamper):
    tamper("UPDATE bulkops_chunk SET cursor = 3 WHERE number = 0", without=SUMS)
    assert "chunk 0: the cursor is at 3, but there are 4 outcomes" in points(done)


def test_a_cursor_beyond_the_end_is_found(done, tamper):
    tamper("UPDATE bulkops_chunk SET cursor = 5 WHERE number = 0", without=SUMS)
    assert "chunk 0: the cursor is at 5 of 4 items" in points(done)


def test_a_chunk_that_is_not_marked_finished_is_found(done):
    Chunk.objects.filter(job=done, number=0).update(finished=False)
    assert "chunk 0: finished is False, but all its items are processed" in points(done)


def test_a_chunk_that_is_marked_finished_too_early_is_found(owner):
    job = services.submit(user=owner, operation="note", items=["a"])
    Chunk.objects.filter(job=job).update(finished=True)
    assert points(job) == ["chunk 0: finished is True, but some of its items are not processed"]


def test_a_lost_chunk_is_found(done):
    Chunk.objects.filter(job=done, number=1).delete()
    assert points(done)[:4] == [
        "chunk 2: expected chunk 1 here",
        "chunk 2: starts at position 8, expected 4",
        "manifest 1: has no chunk",
        "outcomes: outside of all chunks at positions 4, 5, 6, 7",
    ]
    assert "job: total is 10, its chunks hold 6 items" in points(done)


def test_a_chunk_that_starts_elsewhere_is_found(done):
    Chunk.objects.filter(job=done, number=1).update(start=3)
    found = points(done)
    assert "chunk 1: starts at position 3, expected 4" in found
    assert "chunk 1: 4 outcomes lie between positions 3 and 6, expected 3 to 6" not in found


def test_a_lost_manifest_is_found(done):
    Manifest.objects.filter(job=done, number=2).delete()
    assert points(done) == ["chunk 2: has no manifest"]


def test_a_manifest_of_another_length_is_found(done):
    payload = zlib.compress(b'{"values": ["a", "b", "c"]}')
    Manifest.objects.filter(job=done, number=1).update(payload=payload)
    assert points(done) == ["manifest 1: holds 3 items, its chunk says 4"]


def test_a_damaged_manifest_is_found(done):
    Manifest.objects.filter(job=done, number=1).update(payload=b"noise")
    assert points(done) == ["manifest 1: its payload cannot be read"]


def test_a_total_that_lies_is_found(done):
    Job.objects.filter(pk=done.pk).update(total=11)
    assert points(done) == [
        "job: total is 11, its chunks hold 10 items",
        "job: is completed, but 10 of 11 items are processed",
    ]


def test_a_total_that_is_missing_is_found(done):
    Job.objects.filter(pk=done.pk).update(total=None)
    assert "job: is completed, but has no total" in points(done)
    assert "job: has outcomes, but no total" in points(done)


def test_a_job_that_ended_before_its_items_is_found(owner):
    job = services.submit(user=owner, operation="note", items=["a"])
    Job.objects.filter(pk=job.pk).update(state=JobState.COMPLETED, slot=None, finished_at=job.created_at)
    assert points(job) == ["job: is completed, but 0 of 1 items are processed"]


def test_a_job_that_hides_its_failures_is_found(mixed):
    Job.objects.filter(pk=mixed.pk).update(state=JobState.COMPLETED)
    assert points(mixed) == ["job: is completed, but 3 items failed or are in doubt"]


def test_a_job_that_claims_failures_is_found(done):
    Job.objects.filter(pk=done.pk).update(state=JobState.COMPLETED_WITH_ERRORS)
    assert points(done) == ["job: is completed with errors, but 0 items failed or are in doubt"]


def test_a_dead_job_that_keeps_its_slot_is_found(done, tamper):
    tamper("UPDATE bulkops_job SET slot = 'user:1'", without=SLOT)
    assert points(done) == ["job: is completed, but still holds its slot"]


def test_an_active_job_without_its_slot_is_found(owner, tamper):
    job = services.submit(user=owner, operation="note", items=["a"])
    tamper("UPDATE bulkops_job SET slot = NULL", without=SLOT)
    assert points(job) == ["job: is queued, but holds no slot"]


def test_an_end_that_is_not_noted_is_found(done):
    Job.objects.filter(pk=done.pk).update(finished_at=None)
    assert points(done) == ["job: is completed, but its end is not noted"]


def test_a_start_that_is_not_noted_is_found(done):
    Job.objects.filter(pk=done.pk).update(started_at=None)
    assert points(done) == ["job: has outcomes, but no start"]


def test_a_job_broken_in_every_item_is_told_in_bounded_words(owner, settings):
    settings.BULKOPS = {"chunk_items": 1}
    job = services.submit(user=owner, operation="note", items=list(range(100)))
    Chunk.objects.filter(job=job).update(finished=True)
    verdict = verify(job.pk)
    assert (len(verdict.disagreements), verdict.unnamed) == (50, 50)


@pytest.mark.slow
def test_it_is_right_at_any_moment_of_a_running_job(owner, cluster, settings):
    settings.BULKOPS = {"chunk_items": 50}
    job = services.submit(user=owner, operation="note", items=list(range(3000)), parallelism=2)
    looks = 0
    ends = time.monotonic() + 60
    while Job.objects.active().exists():
        assert points(job) == []
        looks += 1
        assert time.monotonic() < ends
    assert looks > 5
    assert verify(job.pk).outcomes == 3000


@pytest.mark.slow
def test_a_million_items_take_seconds_and_bounded_memory(owner, settings):
    settings.BULKOPS = {}
    job = services.submit(user=owner, operation="note", items=(f"item {n}" for n in range(1_000_000)))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO bulkops_outcome (job_id, position, state, attempt, finished_at)"
            " SELECT %s, n, 'succeeded', 1, now() FROM generate_series(0, 999999) n",
            [job.pk],
        )
        cursor.execute(
            "UPDATE bulkops_chunk SET cursor = size, succeeded = size, finished = true WHERE job_id = %s", [job.pk]
        )
        cursor.execute("ANALYZE bulkops_outcome, bulkops_chunk")
    Job.objects.filter(pk=job.pk).update(started_at=job.created_at)
    began = time.monotonic()
    verdict = verify(job.pk)
    took = time.monotonic() - began
    tracemalloc.start()
    verify(job.pk)
    peak = tracemalloc.get_traced_memory()[1] // 2**20
    tracemalloc.stop()
    print(f"a million items verified in {took:.1f} s, {peak} MB at the peak")
    assert verdict.disagreements == []
    assert verdict.outcomes == 1_000_000
    assert took < 20
    assert peak < 20
