"""About how long a job waits: slices ahead and workers alive, and nothing where that is not known."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from bulkops import queueing, services, snapshots
from bulkops.clock import from_now
from bulkops.models import Cluster, Job, Pace, Turn
from bulkops.states import JobState
from bulkops.workforce import Workforce

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("ahead", "workers", "slowest", "seconds"),
    [
        (0, 1, None, 3),
        (2, 1, None, 9),
        (2, 2, 0.001, 6),
        (24, 2, 2.9, 39),
        (2, 2, 40, None),
        (2, 0, None, None),
        (2, None, None, None),
    ],
)
def test_a_wait_is_slices_by_workers_or_unknown(ahead, workers, slowest, seconds):
    assert queueing.about_seconds(ahead, workers, slowest) == seconds


@pytest.fixture
def waiting(person: Callable[..., Any], db: None) -> list[Job]:
    """Five jobs, the first of them in a worker's hands, and two workers."""
    cluster = Cluster.objects.create(name="c", alive_until=from_now(60), workers=2, queues=["default", "mail"])
    jobs = [services.submit(user=person(f"u{n}"), operation="note", items=["a"]) for n in range(5)]
    for place, one in enumerate(jobs):
        Turn.objects.filter(job=one).update(due=from_now(place - 60))
    Job.objects.filter(pk=jobs[0].pk).update(state=JobState.RUNNING, started_at=timezone.now())
    Turn.objects.filter(job=jobs[0]).update(holder=cluster, worker=1)
    return jobs


def words(job: Job) -> str:
    found = snapshots.of(job.pk)
    assert found is not None
    return found[1].words


def keep(job: Job, seconds: list[float], items: list[int]) -> None:
    Pace.objects.create(job=job, seconds=seconds, items=items, sampled_at=timezone.now())


def test_who_waits_is_told_about_how_long(waiting: list[Job]):
    assert words(waiting[4]) == "Waiting: 3 jobs ahead, about 6 s"
    assert words(waiting[1]) == "Waiting for a free worker"


def test_nothing_is_told_where_an_item_in_hand_takes_longer_than_a_slice(waiting: list[Job]):
    keep(waiting[0], [0, 40, 82], [0, 1, 2])
    assert words(waiting[4]) == "Waiting: 3 jobs ahead"


def test_a_quick_job_in_hand_hides_nothing(waiting: list[Job]):
    keep(waiting[0], [0, 3, 6], [0, 900, 1800])
    assert words(waiting[4]) == "Waiting: 3 jobs ahead, about 6 s"


def test_a_slow_job_of_another_queue_is_in_nobodys_way(waiting: list[Job]):
    keep(waiting[0], [0, 40, 82], [0, 1, 2])
    Job.objects.filter(pk=waiting[0].pk).update(queue="mail")
    assert words(waiting[4]) == "Waiting: 3 jobs ahead, about 6 s"


# -- who serves


def cluster(name: str, since: float, until: float, *queues: str, workers: int = 2) -> None:
    """Began so many seconds ago, and is known to live until then."""
    made = Cluster.objects.create(name=name, alive_until=from_now(until), workers=workers, queues=queues)
    Cluster.objects.filter(pk=made.pk).update(started_at=from_now(-since))


@pytest.mark.django_db
def test_workers_are_those_of_living_clusters_that_serve_the_queue():
    cluster("a", 100, 10, "default", workers=2)
    cluster("b", 100, 10, "default", "mail", workers=3)
    cluster("c", 100, -1, "default", workers=9)
    read = Workforce.read()
    assert (read.workers("default"), read.workers("mail"), read.workers("slow")) == (5, 3, None)
    assert read.lives


@pytest.mark.django_db
def test_without_any_cluster_nobody_lives():
    read = Workforce.read()
    assert (read.workers("default"), read.lives) == (None, False)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("clusters", "seconds"),
    [
        ([("old", 900, 10)], 60),
        ([("new", 5, 10)], 5),
        ([("dead", 900, -40), ("new", 5, 10)], 25),
        ([("dead", 900, -40)], 20),
        ([("dead", 900, -300), ("new", 5, 10)], 5),
        ([("dead", 900, -40), ("old", 500, 10)], 60),
        ([], 0),
    ],
)
def test_time_without_any_worker_is_no_time(clusters, seconds):
    for name, since, until in clusters:
        cluster(name, since, until, "default")
    minute_ago = timezone.now() - timedelta(seconds=60)
    assert Workforce.read().seconds_since(minute_ago, "default") == pytest.approx(seconds, abs=1)
