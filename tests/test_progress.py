"""How far a job is: sums over chunks, honest percentages, places in the queue, and words for every state."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bulkops import progress, services, transitions
from bulkops.clock import from_now
from bulkops.models import Chunk, Cluster, Job, Turn
from bulkops.progress import Progress
from bulkops.states import ACTIVE, JobState

pytestmark = pytest.mark.django_db


@pytest.fixture
def alive():
    return Cluster.objects.create(name="c", alive_until=from_now(60), workers=1, queues=["default"])


@pytest.fixture
def job(owner, settings):
    """Ten items in three chunks."""
    settings.BULKOPS = {"chunk_items": 4}
    return services.submit(user=owner, operation="note", items=list("abcdefghij"))


@pytest.mark.parametrize(
    ("processed", "total", "percent"),
    [(0, 3, 0), (1, 3, 33), (2, 3, 66), (3, 3, 100), (999_999, 1_000_000, 99), (9_999, 1_000_000, 0), (0, 0, 100)],
)
def test_the_percentage_is_rounded_down_and_full_only_at_the_end(processed, total, percent):
    assert Progress(total=total, prepared=0, processed=processed).percent == percent


def test_an_unknown_total_is_no_percentage_and_no_rest():
    assert Progress(total=None, prepared=7).percent == 0
    assert Progress(total=None, prepared=7).unprocessed is None


def test_progress_is_the_sum_over_the_chunks(job):
    counters = [(4, 2, 1, 1, 0, 0), (3, 1, 0, 0, 1, 1), (0, 0, 0, 0, 0, 0)]
    for number, (cursor, succeeded, skipped, failed, in_doubt, deferred) in enumerate(counters):
        Chunk.objects.filter(job=job, number=number).update(
            cursor=cursor, succeeded=succeeded, skipped=skipped, failed=failed, in_doubt=in_doubt, deferred=deferred
        )
    now = progress.of(job)
    assert (now.succeeded, now.skipped, now.failed, now.in_doubt, now.deferred) == (3, 1, 1, 1, 1)
    assert now.processed == 6, "what is deferred is not processed yet"
    assert now.unprocessed == 4
    assert now.percent == 60


def test_many_jobs_take_as_many_queries_as_one(job, person, alive):
    jobs = [job] + [services.submit(user=person(f"u{n}"), operation="note", items=["a"]) for n in range(10)]
    with CaptureQueriesContext(connection) as one:
        progress.of(job)
    with CaptureQueriesContext(connection) as many:
        figures = progress.of_many(jobs)
    assert len(one) == len(many) <= 3
    assert set(figures) == {job.pk for job in jobs}


@pytest.mark.parametrize(("left", "queries"), [(0, 1), (1, 2)])
def test_an_ended_job_takes_one_query_and_one_more_where_items_are_left(job, left, queries):
    services.cancel(job=job, actor=None)
    Chunk.objects.filter(job=job).update(cursor=F("size"), succeeded=F("size"))
    Chunk.objects.filter(job=job, number=0).update(cursor=F("size") - left, succeeded=F("size") - left)
    job.refresh_from_db()
    with CaptureQueriesContext(connection) as asked:
        figures = progress.of(job)
    assert len(asked) == queries
    assert figures.left == ({"unprocessed": 1} if left else {})


def test_no_job_at_all_has_no_figures():
    assert progress.of_many([]) == {}


def test_elapsed_time_runs_from_the_start_to_the_end_or_now(job):
    assert progress.of(job).elapsed_seconds is None
    job.started_at = timezone.now() - timedelta(seconds=90)
    assert 90 <= progress.of(job).elapsed_seconds < 95
    job.finished_at = job.started_at + timedelta(seconds=12.5)
    assert progress.of(job).elapsed_seconds == 12.5


def test_the_place_in_the_queue_counts_unstarted_jobs_of_the_same_queue_that_are_due_before(person, alive):
    jobs = [services.submit(user=person(f"u{n}"), operation="note", items=["a"], parallelism=3) for n in range(4)]
    Job.objects.filter(pk=jobs[2].pk).update(queue="mail")
    for place, one in enumerate(jobs):
        Turn.objects.filter(job=one).update(due=from_now(place - 60))
    figures = progress.of_many(Job.objects.all())
    assert [figures[one.pk].queue_position for one in jobs] == [0, 1, 0, 2]
    assert "2 jobs ahead" in figures[jobs[3].pk].words
    assert "Waiting for a free worker" in figures[jobs[0].pk].words


def test_a_running_job_has_no_place_in_the_queue(job, alive):
    Job.objects.update(state=JobState.RUNNING, started_at=timezone.now())
    job.refresh_from_db()
    assert progress.of(job).queue_position is None


@pytest.mark.parametrize("state", sorted(JobState))
def test_every_state_has_words(job, alive, state):
    slot = transitions.user_slot(job.owner) if state in ACTIVE else None
    Job.objects.update(state=state, slot=slot)
    job.refresh_from_db()
    assert progress.of(job).words
    assert not progress.of(job).stalled


@pytest.mark.parametrize("state", sorted({JobState.PREPARING, JobState.QUEUED, JobState.RUNNING}))
def test_without_a_worker_a_job_that_should_move_is_stalled_and_says_so(job, state):
    Job.objects.update(state=state)
    job.refresh_from_db()
    now = progress.of(job)
    assert now.stalled
    assert now.words == "No worker is running: tell your administrator"
    assert now.advice


def test_a_paused_job_is_not_stalled_without_a_worker(job):
    Job.objects.update(state=JobState.PAUSED)
    job.refresh_from_db()
    assert not progress.of(job).stalled


def test_a_worker_of_another_queue_is_no_worker(job, alive):
    Job.objects.update(queue="mail")
    job.refresh_from_db()
    now = progress.of(job)
    assert now.stalled
    assert now.words == "No worker serves the queue “mail”: tell your administrator"


def test_a_dead_cluster_is_no_worker(job, alive):
    assert not progress.of(job).stalled
    Cluster.objects.update(alive_until=from_now(-1))
    assert progress.of(job).stalled


def test_collecting_tells_how_many_so_far(owner, alive):
    job = services.submit(user=owner, operation="collecting", params={"how": "9"})
    job.prepared = 1500
    assert progress.of(job).words == "Collecting the items: 1,500 so far"
    job.collects = False
    assert progress.of(job).words == "Checking the items: 1,500 so far"
