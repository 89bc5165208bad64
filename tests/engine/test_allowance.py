"""A job's speed limit: held by all its workers together, changed while it runs, and never a reason to stand still."""

from __future__ import annotations

import itertools
import threading
import time
from datetime import timedelta

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from bulkops import progress, services
from bulkops.clock import database_now
from bulkops.engine import chunks, turns
from bulkops.engine.allowance import Allowance
from bulkops.models import Chunk, Cluster, Job, Outcome, Turn
from bulkops.states import JobState
from bulkops.verify import verify
from tests.sample.operations import Note, NoteOutside
from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = 0.001
"""An item in a quarter of an hour: whatever waits for the next one waits for good."""


@pytest.fixture
def limited(owner, monkeypatch):
    """Submits a job of numbered items whose operation declares a limit."""

    def submit(rate, count, *, user=owner, parallelism=1, operation=Note):
        monkeypatch.setattr(operation, "rate_per_second", rate)
        items = [str(number) for number in range(count)]
        job = services.submit(user=user, operation=operation.name, items=items, parallelism=parallelism)
        monkeypatch.setattr(operation, "rate_per_second", None)
        return job

    return submit


def moments(job: Job) -> list[float]:
    return [
        at.timestamp()
        for at in Outcome.objects.filter(job=job).order_by("finished_at").values_list("finished_at", flat=True)
    ]


def most_within_a_second(at: list[float]) -> int:
    return max(sum(first <= other < first + 1 for other in at) for first in at)


def work_in_threads(job: Job, number: int) -> None:
    """So many workers at once, until the job has ended."""
    ends = time.monotonic() + 30

    def work(worker: InProcessWorker) -> None:
        while Job.objects.get(pk=job.pk).is_active and time.monotonic() < ends:
            if worker.step() is None:
                time.sleep(0.005)
        connections.close_all()

    threads = [threading.Thread(target=work, args=(InProcessWorker(),)) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    job.refresh_from_db()


@pytest.mark.slow
def test_four_workers_together_hold_the_limit_and_use_it(limited, settings):
    settings.BULKOPS = {"chunk_items": 10}
    job = limited(20, 40, parallelism=4)
    work_in_threads(job, 4)
    assert job.state == JobState.COMPLETED
    at = moments(job)
    assert most_within_a_second(at) <= 20 * 1.5
    # Far below the limit only a machine is that has much else to do; a limit held per worker would be far above it.
    assert 20 * 0.15 <= len(at) / (at[-1] - at[0]) <= 20 * 1.2
    assert verify(job.pk).agrees


@pytest.mark.slow
def test_less_than_one_item_a_second_is_held_too(limited, worker):
    job = worker.finish(limited(0.8, 3))
    first, second, third = moments(job)
    assert second - first >= 1.2
    assert third - second >= 1.2
    assert job.state == JobState.COMPLETED


def test_a_job_that_waits_for_its_limit_occupies_no_worker(limited, worker, owner, stranger):
    slow = limited(SLOW, 2)
    other = services.submit(user=stranger, operation="note", items=[str(number) for number in range(300)])
    while worker.step() is not None:  # the only one there is
        pass
    other.refresh_from_db()
    assert (other.state, len(moments(slow))) == (JobState.COMPLETED, 1)
    services.set_rate(job=slow, rate=10_000, actor=owner)
    worker.finish(slow)
    assert slow.state == JobState.COMPLETED
    first, second = moments(slow)
    assert first < moments(other)[-1] < second, "it ran to its end while the slow one waited"


def test_while_it_waits_it_says_why_and_nothing_is_held(limited, worker):
    job = limited(SLOW, 3)
    worker.step()
    assert worker.step() is None
    job.refresh_from_db()
    assert progress.of(job).words == "Running, at most 3.6 items an hour"
    assert not Turn.objects.filter(holder__isnull=False).exists()
    assert not Chunk.objects.filter(holder__isnull=False).exists()
    assert Turn.objects.get(job=job).due > database_now() + timedelta(seconds=900)


def test_turns_of_a_limited_job_wait_for_a_place_of_their_own(limited, worker, settings):
    settings.BULKOPS = {"chunk_items": 1}
    job = limited(SLOW, 5, parallelism=4)
    for _ in range(4):
        worker.step()
    assert worker.step() is None
    assert Outcome.objects.filter(job=job).count() == 1
    dues = sorted(Turn.objects.filter(job=job).values_list("due", flat=True))
    apart = [(later - sooner).total_seconds() for sooner, later in itertools.pairwise(dues)]
    assert apart == pytest.approx([1000] * 3, abs=5)


def test_a_higher_limit_takes_effect_at_once(limited, worker, owner):
    job = limited(SLOW, 30)
    worker.step()
    assert worker.step() is None
    services.set_rate(job=job, rate=10_000, actor=owner)
    began = time.monotonic()
    worker.finish(job)
    assert job.state == JobState.COMPLETED
    assert time.monotonic() - began < 3


def test_no_limit_any_more_takes_effect_at_once(limited, worker, owner):
    job = limited(SLOW, 30, parallelism=4)
    for _ in range(4):
        worker.step()
    services.set_rate(job=job, rate=None, actor=owner)
    worker.finish(job)
    assert (job.state, job.rate_per_second, job.rate_from) == (JobState.COMPLETED, None, None)


def nudging(monkeypatch, job, actor, rate, also=lambda: None):
    """The third item of the job changes its limit while it is in hand."""
    process = NoteOutside.process

    def changing(self, item, params, context):
        if item == "2" and context.attempt == 1:
            services.set_rate(job=job, rate=rate, actor=actor)
            assert Chunk.objects.get(job=job).stop
            assert not context.should_stop(), "an item in hand goes on"
            also()
        return process(self, item, params, context)

    monkeypatch.setattr(NoteOutside, "process", changing)


def test_a_limit_set_in_the_middle_of_a_slice_counts_from_the_next_item_on(limited, worker, owner, monkeypatch):
    job = limited(None, 10, operation=NoteOutside)
    nudging(monkeypatch, job, owner, SLOW)
    worker.step()
    assert Outcome.objects.filter(job=job).count() == 3
    assert not Chunk.objects.get(job=job).stop
    worker.step()
    assert worker.step() is None
    assert Outcome.objects.filter(job=job).count() == 4, "the new limit allows one"


def test_permits_of_another_limit_are_worth_nothing(limited, worker, owner, settings):
    settings.BULKOPS = {"chunk_items": 2}
    job = limited(100_000, 6)
    taken, allowance = turns.take(job.pk, 0, 0, worker.holder), Allowance(job.pk)
    assert chunks.claim(taken, worker.holder, allowance) is not None
    assert allowance.goes_on()
    services.set_rate(job=job, rate=SLOW, actor=owner)
    Job.objects.filter(pk=job.pk).update(rate_from=database_now() + timedelta(seconds=5))
    assert chunks.claim(taken, worker.holder, allowance) is None


def test_a_pause_and_a_resume_keep_the_limit(limited, worker, owner):
    job = limited(SLOW, 5)
    worker.step()
    services.pause(job=job, actor=owner)
    services.resume(job=job, actor=owner)
    worker.step()
    assert worker.step() is None
    assert Outcome.objects.filter(job=job).count() == 1


def test_deferred_items_use_permits_too(owner, worker, monkeypatch):
    monkeypatch.setattr("tests.sample.operations.Habits.rate_per_second", 5)
    job = worker.finish(services.submit(user=owner, operation="habits", items=["pass-by", "pass-by"]))
    at = moments(job)
    assert job.state == JobState.COMPLETED
    assert job.finished_at.timestamp() - job.started_at.timestamp() >= 5 * 0.2, "six tries, at most five a second"
    assert len(at) == 2


def test_a_limit_costs_no_query_per_item(limited, worker, settings):
    settings.BULKOPS = {"rate_quantum_seconds": 60}  # one grant will do

    def queries(rate, count) -> int:
        job = limited(rate, count)
        with CaptureQueriesContext(connection) as asked:
            worker.step()
        job.refresh_from_db()
        assert job.state == JobState.COMPLETED
        return len(asked)

    assert queries(100_000, 30) - queries(100_000, 10) == queries(None, 30) - queries(None, 10)


# -- a nudge leaves nothing stuck


def test_a_worker_that_dies_after_a_nudge_leaves_nothing_stopped(limited, worker, owner, monkeypatch):
    job = limited(None, 6, operation=NoteOutside)

    class Died(BaseException):
        pass

    def die() -> None:
        worker.die()
        other.rescue()

    other = InProcessWorker()
    nudging(monkeypatch, job, owner, 1_000, also=die)
    worker.step()
    assert not Chunk.objects.get(job=job).stop
    monkeypatch.undo()
    assert other.finish(job).state == JobState.COMPLETED


@pytest.mark.parametrize("first", ["rate", "pause"])
def test_a_nudge_and_a_pause_at_the_same_time_pause_the_job_and_a_resume_goes_on(
    limited, worker, owner, monkeypatch, first
):
    job = limited(None, 6, operation=NoteOutside)
    process = NoteOutside.process

    def changing(self, item, params, context):
        if item == "2":
            steps = [
                lambda: services.set_rate(job=job, rate=1_000, actor=owner),
                lambda: services.pause(job=job, actor=owner),
            ]
            for step in steps if first == "rate" else reversed(steps):
                step()
        return process(self, item, params, context)

    monkeypatch.setattr(NoteOutside, "process", changing)
    worker.drain()
    job.refresh_from_db()
    assert (job.state, Outcome.objects.filter(job=job).count()) == (JobState.PAUSED, 3)
    assert Chunk.objects.get(job=job).stop
    services.resume(job=job, actor=owner)
    assert worker.finish(job).state == JobState.COMPLETED


def test_a_nudged_chunk_that_was_freed_by_nobody_is_found_by_rescue(limited, worker, owner, settings):
    settings.BULKOPS = {"turn_grace_seconds": 0}
    job = limited(None, 6)
    other = InProcessWorker()
    taken = turns.take(job.pk, 0, 0, other.holder)
    chunks.claim(taken, other.holder)
    services.set_rate(job=job, rate=1_000, actor=owner)
    Cluster.objects.filter(pk=other.cluster.pk).delete()  # as a leader's last act; its foreign keys become empty
    assert Chunk.objects.get(job=job).stop
    assert worker.rescue() == 1
    assert worker.finish(job).state == JobState.COMPLETED
