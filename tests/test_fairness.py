"""Everyone gets a turn: how many slices of others are begun between a press and its first item.

With `slice_seconds` 0 a slice is one item, so slices can be counted; no second is. What stands in the queue is made as
old as it would be with slices of three seconds on two workers.
"""

from __future__ import annotations

import pytest
from django.db import connection

from bulkops import services
from bulkops.conf import Conf, conf
from bulkops.models import Outcome
from bulkops.states import JobState
from tests.worker import InProcessWorker

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

BIG_JOBS = 20
WORKERS = 2


@pytest.fixture
def workers(settings, transactional_db):
    """Two workers that take messages by turns, a slice each."""
    settings.BULKOPS = {"slice_seconds": 0, "chunk_items": 25}
    return [InProcessWorker() for _ in range(WORKERS)]


@pytest.fixture
def parallelism():
    """Turns of each big job."""
    return 1


@pytest.fixture
def big(person, workers, parallelism):
    """Twenty users' big jobs, none begun yet."""
    return [
        services.submit(user=person(f"big{n}"), operation="note", items=range(100), parallelism=parallelism)
        for n in range(BIG_JOBS)
    ]


of_one_turn_or_four = pytest.mark.parametrize("parallelism", [1, 4])


def slices(workers, enough):
    """Work slice after slice until there are enough; the jobs whose slices were begun, in that order."""
    begun = []
    while not enough(begun):
        assert len(begun) < 200
        worker = workers[len(begun) % WORKERS]
        assert worker.step() in {"worked", "prepared"}
        begun.append(worker.worked_on)
    return begun


def first_of(job):
    return lambda _: Outcome.objects.filter(job=job).exists()


def count(number):
    return lambda begun: len(begun) == number


def let_wait(seconds):
    """Let everything in the queue have waited for so much longer."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_q_ormq SET lock = lock - %s * interval '1 second'", [seconds])


def begin_all(big, workers):
    """Let each turn of each have its first slice, and the ring of turns be as old as it takes to go round."""
    turns = BIG_JOBS * big[0].parallelism
    slices(workers, count(turns))
    let_wait(turns * Conf().slice_seconds / WORKERS)


def press(person, **what):
    return services.submit(user=person("small"), **{"operation": "note", "items": ["small"], **what})


@of_one_turn_or_four
def test_a_small_job_goes_before_every_further_slice(big, workers, person):
    begin_all(big, workers)
    small = press(person)
    assert slices(workers, first_of(small)) == [small.pk]
    small.refresh_from_db()
    assert small.state == JobState.COMPLETED


@of_one_turn_or_four
def test_a_small_job_waits_for_one_slice_of_each_job_that_was_pressed_before(big, workers, person):
    small = press(person)
    begun = slices(workers, first_of(small))
    assert sorted(begun[:-1]) == sorted(job.pk for job in big)


def test_a_small_job_that_finds_its_own_items_goes_before_every_further_slice_twice(big, workers, person):
    begin_all(big, workers)
    small = press(person, operation="collecting", items=None, params={"how": "1"})
    assert slices(workers, first_of(small)) == [small.pk, small.pk]


def test_who_pauses_and_resumes_gets_ahead_of_nobody(big, workers, person):
    begin_all(big, workers)
    for job in big[:10] * 3:
        services.pause(job=job, actor=None)
        services.resume(job=job, actor=None)
    small = press(person)
    begun = slices(workers, count(11))
    assert begun[0] == small.pk
    assert set(begun[1:]) == {job.pk for job in big[10:]}


def test_who_pauses_and_resumes_before_the_first_item_loses_the_place(big, workers):
    services.pause(job=big[0], actor=None)
    services.resume(job=big[0], actor=None)
    assert slices(workers, count(BIG_JOBS))[-1] == big[0].pk


def test_big_jobs_take_turns(big, workers):
    begin_all(big, workers)
    assert set(slices(workers, count(BIG_JOBS))) == {job.pk for job in big}


def test_no_stream_of_small_jobs_keeps_a_big_one_waiting_for_ever(big, workers, person):
    begin_all(big, workers)
    let_wait(conf().first_slice_head_start_seconds)
    small = press(person)
    assert small.pk not in slices(workers, count(BIG_JOBS))
