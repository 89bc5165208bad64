"""When messages are taken: at once if they are due, else at their time, and not at the next look by the clock."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ
from django_q.tasks import async_task

from bulkops import dispatch, services
from bulkops.clock import from_now
from bulkops.cluster.inbox import Inbox
from bulkops.engine import hand
from bulkops.engine.hand import Doing, InHand
from bulkops.models import Turn

pytestmark = pytest.mark.django_db(transaction=True)

NEVER_BY_ITSELF = 30.0


@pytest.fixture(autouse=True)
def _slow_fallback(settings):
    settings.BULKOPS = {"listen_fallback_seconds": NEVER_BY_ITSELF}


@pytest.fixture
def inbox():
    return Inbox(dispatch.queue_keys(["default"]), lambda: False)


def later(do: Any) -> threading.Thread:
    """Do it in another session while this one waits."""

    def run() -> None:
        time.sleep(0.3)  # the other one is to sleep by then
        do()
        connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def submit_due_in(seconds: float, owner) -> None:
    """A job whose only message becomes due by then, as after a back-off."""
    with transaction.atomic():
        job = services.submit(user=owner, operation="note", items=["a"])
        turn = Turn.objects.get(job=job)
        dispatch.withdraw([turn.message_id])
        dispatch.send(job, turn, delay_seconds=seconds)


def test_a_message_is_taken_when_it_becomes_due_long_before_the_fallback(owner, inbox):
    submit_due_in(0.3, owner)
    began = time.monotonic()
    assert inbox.get()["func"] == dispatch.ENTRY
    waited = time.monotonic() - began
    assert 0.2 < waited < NEVER_BY_ITSELF / 10


def test_a_sleeping_worker_learns_of_a_message_that_is_due_later(owner, inbox):
    thread = later(lambda: submit_due_in(0.3, owner))
    began = time.monotonic()
    assert inbox.get()["func"] == dispatch.ENTRY
    assert 0.5 < time.monotonic() - began < NEVER_BY_ITSELF / 10
    thread.join()


def test_a_task_of_the_projects_own_wakes_a_sleeping_worker(inbox):
    thread = later(lambda: async_task("math.sqrt", 4))
    began = time.monotonic()
    assert inbox.get()["func"] == "math.sqrt"
    assert time.monotonic() - began < NEVER_BY_ITSELF / 10
    thread.join()


def test_of_several_the_first_that_is_due_counts(owner, stranger, inbox):
    submit_due_in(20, owner)
    submit_due_in(0.2, stranger)
    began = time.monotonic()
    inbox.get()
    assert time.monotonic() - began < NEVER_BY_ITSELF / 10


def test_a_message_of_another_queue_disturbs_nobodys_sleep(inbox):
    OrmQ.objects.create(key="bulkops:slow", payload="-", lock=from_now(0.01))
    assert inbox._claim() is None
    assert inbox._due_in > NEVER_BY_ITSELF


def test_one_look_is_one_round_trip_whatever_it_finds(owner, inbox):
    submit_due_in(10, owner)
    inbox._listen()
    with CaptureQueriesContext(connection) as nothing_due:
        assert inbox._claim() is None
    assert 9 < inbox._due_in <= 10
    OrmQ.objects.update(lock=from_now(-1))
    with CaptureQueriesContext(connection) as one_due:
        assert inbox._claim() is not None
    assert (len(nothing_due), len(one_due)) == (1, 1)
    assert inbox._due_in == 0


def test_what_is_due_behind_an_unreadable_message_is_taken_at_once(owner, inbox):
    services.submit(user=owner, operation="note", items=["a"])
    OrmQ.objects.create(key=OrmQ.objects.get().key, payload="nonsense", lock=from_now(-3600))
    began = time.monotonic()
    assert inbox.get()["func"] == dispatch.ENTRY
    assert time.monotonic() - began < NEVER_BY_ITSELF / 10


@pytest.mark.slow
def test_workers_that_wake_for_one_message_take_it_once_and_sleep_on(owner):
    submit_due_in(0.3, owner)
    takers: list[Any] = []
    stop = threading.Event()

    def work() -> None:
        inbox = Inbox(dispatch.queue_keys(["default"]), stop.is_set)
        while (task := inbox.get()) != "STOP":
            takers.append(task)
        connections.close_all()

    counted = CountedClaims()
    threads = [threading.Thread(target=work) for _ in range(5)]
    with counted:
        for thread in threads:
            thread.start()
        time.sleep(1.5)  # time for each to look again and again, if it wanted to
        looked = counted.number
    stop.set()
    async_task("math.sqrt", 4)  # wakes them
    for thread in threads:
        thread.join(5)
    assert len([task for task in takers if task["func"] == dispatch.ENTRY]) == 1
    # At the start, when it became due, perhaps a moment too early, and the taker once more.
    assert looked <= 5 * 3 + 1


class CountedClaims:
    """Counts how often any worker of this process looks into the queue."""

    def __enter__(self) -> CountedClaims:
        self.number = 0
        self._real = real = Inbox._claim

        def claim(inbox: Inbox) -> Any:
            self.number += 1
            return real(inbox)

        Inbox._claim = claim
        return self

    def __exit__(self, *_: object) -> None:
        Inbox._claim = self._real


class Noted:
    """What a worker tells its leader."""

    def __init__(self) -> None:
        self.said: list[InHand | None] = []

    def write(self, in_hand: InHand) -> None:
        self.said.append(in_hand)

    def clear(self) -> None:
        self.said.append(None)


@pytest.fixture
def noted():
    hand.use(noted := Noted())
    yield noted
    hand.use(None)


@pytest.mark.parametrize(("options", "limit"), [({}, 0), ({"timeout": 5}, 8), ({"timeout": -1}, 0)])
def test_a_task_of_the_projects_own_is_noted_with_the_time_it_may_take(inbox, noted, options, limit):
    async_task("math.sqrt", 4, **options)
    inbox.get()
    assert noted.said == [None, InHand(doing=Doing.TASK, limit_seconds=limit)]


def test_before_a_turn_begins_nothing_is_in_hand(owner, inbox, noted):
    services.submit(user=owner, operation="note", items=["a"])
    inbox.get()
    assert noted.said == [None]
