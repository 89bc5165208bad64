"""How fast a job was: one small row, whose clock stands still with the job, and samples that bear what workers bear."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bulkops import pace, services, transitions
from bulkops.clock import from_now
from bulkops.cluster.leader import Leader
from bulkops.models import Chunk, Cluster, Job, Pace
from bulkops.states import JobState

if TYPE_CHECKING:
    from tests.worker import InProcessWorker

pytestmark = pytest.mark.django_db


@pytest.fixture
def alive() -> Cluster:
    """Since an hour ago."""
    started = timezone.now() - timedelta(hours=1)
    return Cluster.objects.create(
        name="c", started_at=started, alive_until=from_now(3600), workers=1, queues=["default"]
    )


@pytest.fixture
def job(owner: Any, alive: Cluster) -> Job:
    """A thousand items, just begun."""
    job = services.submit(user=owner, operation="note", items=[str(n) for n in range(1000)])
    transitions.move(job, JobState.RUNNING)
    return job


def row(job: Job) -> Pace:
    return Pace.objects.get(pk=job)


def pass_by(job: Job, seconds: float, items: int = 0) -> None:
    """So many seconds go by for the job, in which so many items are processed."""
    Pace.objects.filter(pk=job).update(sampled_at=F("sampled_at") - timedelta(seconds=seconds))
    Chunk.objects.filter(job=job, number=0).update(cursor=F("cursor") + items, succeeded=F("succeeded") + items)


def work(job: Job, seconds: float, items: int) -> None:
    pass_by(job, seconds, items)
    pace.sample(job)


def test_it_begins_with_the_first_item_and_grows_by_a_sample(job):
    assert (row(job).seconds, row(job).items, row(job).fresh_from) == ([0], [0], 0)
    work(job, 3, 60)
    work(job, 3, 90)
    assert row(job).items == [0, 60, 150]
    assert row(job).seconds == pytest.approx([0, 3, 6], abs=0.5)


def test_what_is_deferred_is_not_processed(job):
    Chunk.objects.filter(job=job, number=0).update(cursor=9, succeeded=2, skipped=1, failed=1, in_doubt=1, deferred=4)
    work(job, 3, 0)
    assert row(job).items == [0, 5]


def test_short_slices_make_no_samples_of_their_own(job):
    work(job, 0.2, 10)
    work(job, 0.2, 10)
    assert row(job).items == [0]
    work(job, 0.8, 10)
    assert row(job).items == [0, 30], "and nothing of what they did is lost"


def test_a_job_that_the_code_before_began_is_counted_from_its_next_slice_on(job):
    Pace.objects.all().delete()
    pass_by(job, 0, 400)
    pace.sample(job)
    work(job, 3, 60)
    assert row(job).items == [400, 460]
    assert row(job).seconds == pytest.approx([0, 3], abs=0.5)


def test_the_clock_stands_still_while_the_job_is_paused(job):
    work(job, 3, 60)
    pass_by(job, 2, 40)
    services.pause(job=job, actor=None)
    assert row(job).items == [0, 60, 100], "what was done until then is counted"
    pass_by(job, 3600)
    services.resume(job=job, actor=None)
    assert row(job).fresh_from == row(job).seconds[-1]
    job.refresh_from_db()
    work(job, 3, 60)
    assert row(job).seconds == pytest.approx([0, 3, 5, 8], abs=0.5)


def test_a_job_that_is_paused_before_its_first_item_has_no_pace(owner, alive):
    job = services.submit(user=owner, operation="note", items=["a"])
    services.pause(job=job, actor=None)
    services.resume(job=job, actor=None)
    services.cancel(job=job, actor=None)
    assert not Pace.objects.exists()


def test_another_speed_limit_begins_a_new_stretch(job):
    work(job, 3, 60)
    pass_by(job, 0.5, 10)
    services.set_rate(job=job, rate=5.0, actor=None)
    assert row(job).items == [0, 60, 70]
    assert row(job).fresh_from == row(job).seconds[-1]


def test_time_in_which_no_worker_served_its_queue_is_not_counted(job, alive):
    work(job, 3, 60)
    Cluster.objects.update(alive_until=from_now(-500))
    pass_by(job, 502)
    Cluster.objects.create(name="mail", alive_until=from_now(60), queues=["mail"])
    later = Cluster.objects.create(name="d", alive_until=from_now(60), workers=1, queues=["default"])
    Cluster.objects.filter(pk=later.pk).update(started_at=from_now(-5))
    work(job, 0, 60)
    # Two seconds until the first one died, five since the second one began.
    assert row(job).seconds == pytest.approx([0, 3, 10], abs=0.5)


def test_time_is_not_counted_either_while_nobody_lives_yet(job, alive):
    work(job, 3, 60)
    Cluster.objects.update(alive_until=from_now(-500))
    pass_by(job, 502)
    services.pause(job=job, actor=None)
    assert row(job).seconds == pytest.approx([0, 3, 5], abs=0.5)


def test_a_cluster_that_takes_over_from_a_living_one_costs_no_time(job, alive):
    work(job, 3, 60)
    Cluster.objects.create(name="new", alive_until=from_now(60), workers=1, queues=["default"])
    work(job, 10, 60)
    assert row(job).seconds == pytest.approx([0, 3, 13], abs=0.5)


def test_a_host_whose_clock_is_fast_does_not_stop_the_jobs_clock(job, alive):
    alive.delete()
    leader = Leader(workers=1, queues=["default"])
    leader.cluster.started_at = timezone.now() + timedelta(hours=1)
    leader._register()
    Cluster.objects.update(started_at=F("started_at") - timedelta(minutes=1))  # which goes by
    work(job, 3, 60)
    assert row(job).seconds[-1] == pytest.approx(3, abs=0.5)


@pytest.mark.slow
def test_the_row_stays_small_and_the_latest_samples_are_all_kept(job):
    for n in range(240):
        work(job, 3, 2)
        assert len(row(job).seconds) == len(row(job).items) <= pace.MOST
        if n % 50 == 0:
            assert row(job).seconds[0] == 0
    found = row(job)
    assert (found.items[0], found.items[-1]) == (0, 480)
    assert found.items[-pace.LATEST :] == list(range(480 - 2 * pace.LATEST + 2, 481, 2))
    gaps = [later - sooner for sooner, later in zip(found.seconds, found.seconds[1:], strict=False)]
    assert all(gap > 0 for gap in gaps)
    assert max(gaps) < 60, "the older ones are spread over all of its life"


def test_a_sample_is_one_statement(job):
    pass_by(job, 3, 5)
    with CaptureQueriesContext(connection) as asked:
        pace.sample(job)
    assert len(asked) == 1


def test_each_slices_end_leaves_a_sample(owner: Any, worker: InProcessWorker, settings: Any, monkeypatch: Any):
    settings.BULKOPS = {"slice_seconds": 0.0}
    monkeypatch.setattr(pace.sample, "__defaults__", (0.0,))
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"])
    worker.finish(job)
    assert sorted(set(row(job).items)) == [0, 1, 2, 3]


def test_an_ended_jobs_clock_is_never_moved_again(job):
    pass_by(job, 3, 60)
    transitions.move(job, JobState.COMPLETED_WITH_ERRORS)
    before = row(job)
    assert before.items == [0, 60]
    transitions.move(job, JobState.COMPLETED)
    assert (row(job).seconds, row(job).items) == (before.seconds, before.items)


def test_it_goes_with_its_job(job):
    job.delete()
    assert not Pace.objects.exists()
