"""Counting attempts: nobody slips through between two processes, and a window ends."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from bulkops import attempts
from bulkops.clock import from_now
from bulkops.models import Attempts

pytestmark = pytest.mark.django_db


def test_the_one_that_is_too_many_has_to_wait_for_the_windows_end():
    told = [attempts.count("x", "ann", most=2, seconds=60) for _ in range(4)]
    assert told[:2] == [0, 0]
    assert all(0 < seconds <= 60 for seconds in told[2:])
    assert attempts.count("x", "bob", most=2, seconds=60) == 0
    assert attempts.count("y", "ann", most=2, seconds=60) == 0


def test_after_its_window_counting_begins_anew():
    for _ in range(3):
        attempts.count("x", "ann", most=2, seconds=60)
    assert attempts.wait("x", "ann", most=2) > 0
    Attempts.objects.update(ends_at=from_now(-1))
    assert attempts.wait("x", "ann", most=2) == 0
    assert attempts.count("x", "ann", most=2, seconds=60) == 0


def test_names_and_addresses_are_not_kept():
    attempts.count("x", "ann@example.org", most=2, seconds=60)
    assert "ann" not in str(Attempts.objects.values().get())


def test_old_counters_are_swept_away():
    attempts.count("x", "old", most=2, seconds=60)
    Attempts.objects.update(ends_at=from_now(-attempts.KEPT_SECONDS - 1))
    attempts.count("x", "new", most=2, seconds=60)
    assert attempts.forget_old() == 1
    assert Attempts.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_many_at_once_are_all_counted():
    gate, told = threading.Barrier(8), []

    def try_often() -> None:
        gate.wait()
        try:
            told.extend(attempts.count("x", "ann", most=30, seconds=60) for _ in range(10))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=try_often) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert (len(told), told.count(0)) == (80, 30)
