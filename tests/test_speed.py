"""A job's speed on every face: lately, in words, and none where it would mislead; and it costs one query."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bulkops import progress, services, snapshots, status, transitions, wording
from bulkops.clock import from_now
from bulkops.models import Chunk, Cluster, Event, Job, Pace, Turn
from bulkops.states import ENDED, EventKind, JobState

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkops.progress import Progress

pytestmark = pytest.mark.django_db


@pytest.fixture
def alive() -> Cluster:
    """Since an hour ago."""
    made = Cluster.objects.create(name="c", alive_until=from_now(3600), workers=2, queues=["default"])
    Cluster.objects.update(started_at=from_now(-3600))
    return made


@pytest.fixture
def job(owner: Any, alive: Cluster) -> Job:
    """A job of 6,000 items that has run for a minute at ten a second."""
    job = services.submit(user=owner, operation="note", items=[str(n) for n in range(6000)])
    transitions.move(job, JobState.RUNNING)
    went(job)
    return job


def went(job: Job, per_second: float = 10, samples: int = 20) -> None:
    """So fast, in samples three seconds apart, the last of them a second ago."""
    items = [round(3 * per_second * n) for n in range(samples)]
    seconds = [3.0 * n for n in range(samples)]
    Pace.objects.filter(job=job).update(seconds=seconds, items=items, sampled_at=from_now(-1), fresh_from=0)
    Job.objects.filter(pk=job.pk).update(started_at=from_now(-60))
    fill(job, items[-1] + round(per_second))
    job.refresh_from_db()


def fill(job: Job, processed: int, deferred: int = 0, due: float | None = None) -> None:
    """So many items are processed, and so many more are to come round again in `due` seconds."""
    for chunk in Chunk.objects.filter(job=job).order_by("number"):
        done = min(chunk.size, max(0, processed - chunk.start))
        later = min(chunk.size - done, max(0, processed + deferred - chunk.start - done))
        Chunk.objects.filter(pk=chunk.pk).update(
            cursor=done + later,
            succeeded=done,
            deferred=later,
            due=from_now(due or 0) if later else None,
            finished=done == chunk.size,
        )


def look(job: Job) -> Progress:
    """As its card has it; a list has the same."""
    found = snapshots.of(job.pk)
    assert found is not None
    listed = progress.of(found[0])
    assert (listed.rate_per_second is None) == (found[1].rate_per_second is None)
    assert (found[1].rate_per_second or 0) == pytest.approx(listed.rate_per_second or 0, rel=0.2)
    return found[1]


def test_a_running_job_has_a_rate_and_a_range(job):
    now = look(job)
    assert now.rate_per_second == pytest.approx(10, rel=0.1)
    assert now.eta.low < 542 < now.eta.high
    assert now.time_left == wording.left(now.eta)
    assert now.time_left.startswith("about ")
    told = status.resource(job)["eta_seconds"]
    assert told["low"] < 542 < told["high"]


def test_without_samples_of_the_code_before_there_is_an_average_and_no_range(job):
    Pace.objects.all().delete()
    now = look(job)
    assert now.rate_per_second == pytest.approx(580 / 60, rel=0.1)
    assert (now.eta, now.course) == (None, ())


def test_a_pause_is_in_no_range(job):
    services.pause(job=job, actor=None)
    job.refresh_from_db()
    paused = look(job)
    assert (paused.rate_per_second, paused.eta) == (None, None)
    Pace.objects.update(sampled_at=from_now(-3600))
    services.resume(job=job, actor=None)
    resumed = look(job)
    assert resumed.eta is None, "nothing is known of the time after it"
    kept = Pace.objects.get(pk=job)
    assert kept.seconds[-1] < 70, "an hour of standing still is no work"
    more = [kept.seconds[-1] + 3 * n for n in range(1, 6)]
    items = [kept.items[-1] + 30 * n for n in range(1, 6)]
    fill(job, items[-1])
    Pace.objects.update(seconds=kept.seconds + more, items=kept.items + items, sampled_at=from_now(0))
    again = look(job)
    assert again.eta.low < (6000 - items[-1]) / 10 < again.eta.high


@pytest.mark.parametrize("state", [JobState.PAUSING, JobState.CANCELLING])
def test_a_job_that_stops_has_no_range(job, state):
    Job.objects.filter(pk=job.pk).update(state=state)
    assert look(job).eta is None


def test_without_a_worker_there_is_no_range(job):
    Cluster.objects.update(alive_until=from_now(-1))
    now = look(job)
    assert (now.words, now.eta, now.stalled) == ("No worker is running: tell your administrator", None, True)


def test_time_without_a_worker_does_not_make_it_slower(job):
    Pace.objects.update(sampled_at=from_now(-600))
    Cluster.objects.update(started_at=from_now(-1))
    assert look(job).rate_per_second == pytest.approx(10, rel=0.1)


def test_with_a_speed_limit_it_takes_at_least_what_the_limit_makes_of_it(job):
    Job.objects.filter(pk=job.pk).update(rate_per_second=9.0)
    assert look(job).eta.low >= (6000 - 580) / 9


def test_a_new_speed_limit_leaves_no_range_from_before(job):
    services.set_rate(job=job, rate=5.0, actor=None)
    assert look(job).eta is None


@pytest.mark.parametrize(("deferred", "due", "told"), [(5, 60, True), (5, 3000, False), (2000, 60, False)])
def test_items_that_wait_for_another_try_take_the_range_away_where_they_matter(job, deferred, due, told):
    fill(job, 580, deferred, due)
    now = look(job)
    assert now.deferred == deferred
    assert (now.eta is not None) == told


# -- a lost worker


def test_what_a_dead_cluster_holds_is_told_of(job, alive):
    dead = Cluster.objects.create(name="dead", alive_until=from_now(-1), queues=["default"])
    Turn.objects.filter(job=job).update(holder=dead, worker=1)
    now = look(job)
    assert (now.words, now.eta) == ("A worker was lost; taking its work back", None)


def test_a_rescue_is_told_of_for_some_seconds(job):
    Event.objects.create(job=job, kind=EventKind.RESCUED, at=timezone.now())
    assert look(job).words == wording.LOST
    Event.objects.filter(kind=EventKind.RESCUED).update(at=timezone.now() - timedelta(seconds=6))
    assert look(job).words == "Running"


def test_with_no_worker_left_at_all_that_is_what_is_told(job):
    Cluster.objects.update(alive_until=from_now(-1))
    Event.objects.create(job=job, kind=EventKind.RESCUED, at=timezone.now())
    assert look(job).words.startswith("No worker is running")


# -- the end


def test_an_ended_jobs_rate_is_that_of_its_work(job):
    Pace.objects.update(seconds=[0, 20], items=[0, 580])
    Job.objects.filter(pk=job.pk).update(
        state=JobState.CANCELLED, slot=None, finished_at=job.started_at + timedelta(hours=1)
    )
    now = look(job)
    assert now.rate_per_second == pytest.approx(29)
    assert (
        now.story == "580 of 6,000 items were processed in 1 h (20 s at work), 29 a second. What was done stays done."
    )
    assert now.advice == "You can go on with the 5,420 items not processed."


# -- when to ask again


@pytest.mark.parametrize(("left", "low", "high"), [(5420, 60, 60), (400, 25, 40), (3, 1, 1)])
def test_a_program_is_asked_to_look_again_when_the_job_can_have_ended(job, left, low, high):
    fill(job, 6000 - left)
    kept = Pace.objects.get(pk=job)
    Pace.objects.update(items=[n - kept.items[-1] + 6000 - left - 10 for n in kept.items])
    assert low <= status.wait_seconds(job, look(job)) <= high


def test_a_paused_job_is_looked_at_seldom_and_one_of_unknown_end_often(job):
    Pace.objects.all().delete()
    assert status.wait_seconds(job, look(job)) == 1
    services.pause(job=job, actor=None)
    job.refresh_from_db()
    assert status.wait_seconds(job, look(job)) == 5


# -- cost


@pytest.mark.parametrize("state", sorted(JobState))
def test_all_that_a_card_tells_is_one_query_in_every_state(job: Job, state: JobState):
    ended: dict[str, Any] = {"slot": None, "finished_at": timezone.now()} if state in ENDED else {}
    Job.objects.filter(pk=job.pk).update(state=state, **ended)
    Event.objects.create(job=job, kind=EventKind.PAUSE_REQUESTED, detail="50 items failed.")
    with CaptureQueriesContext(connection) as asked:
        found = snapshots.of(job.pk)
    assert len(asked) == 1
    assert found is not None
    assert (found[1].words == "Paused: 50 items failed") == (state == JobState.PAUSED)
    assert bool(found[1].left) == (state in ENDED)


def test_many_jobs_cost_as_much_as_one(job: Job, person: Callable[..., Any]):
    others = [services.submit(user=person(f"u{n}"), operation="note", items=["a"]) for n in range(5)]
    for one in others:
        transitions.move(one, JobState.RUNNING)
    with CaptureQueriesContext(connection) as one_asked:
        progress.of(job)
    with CaptureQueriesContext(connection) as asked:
        progress.of_many([job, *others])
    assert len(one_asked) == len(asked) == 3


def test_what_a_card_asks_is_put_together_once(job, monkeypatch):
    look(job)

    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("the ORM writes a query")

    monkeypatch.setattr(SQLCompiler, "as_sql", refused)
    assert snapshots.of(job.pk) is not None


def test_a_job_read_for_its_card_is_the_one_that_the_orm_reads(owner, alive):
    tagged = services.submit(user=owner, operation="note", items=["a"], tags=["x", "y"], metadata={"k": [1, "ü"]})
    transitions.move(tagged, JobState.RUNNING)
    found = snapshots.of(tagged.pk)
    assert found is not None
    for one, other in ((found[0], Job.objects.get(pk=tagged.pk)), (found[0].owner, owner)):
        assert one == other
        for field in other._meta.concrete_fields:
            assert getattr(one, field.attname) == getattr(other, field.attname), field.name
    assert found[0].pace == Pace.objects.get(pk=tagged.pk)
    Pace.objects.all().delete()
    without = snapshots.of(tagged.pk)
    assert without is not None
    assert not hasattr(without[0], "pace")
