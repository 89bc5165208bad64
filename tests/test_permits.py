"""The arithmetic of a speed limit: how many permits at once, how far apart, and in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bulkops import permits, services
from bulkops.models import Job

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (None, "no limit"),
        (5, "at most 5 items a second"),
        (1, "at most 1 item a second"),
        (2.5, "at most 2.5 items a second"),
        (12_345, "at most 12,345 items a second"),
        (0.5, "at most 30 items a minute"),
        (1 / 60, "at most 1 item a minute"),
        (0.001, "at most 3.6 items an hour"),
    ],
)
def test_a_limit_in_words(rate, words):
    assert permits.in_words(rate) == words


@pytest.mark.parametrize("rate", [0.001, 0.5, 1, 3, 7, 19, 20, 40, 100, 12_345, 100_000])
def test_even_at_the_worst_a_quantum_more_may_begin_in_a_second(rate, settings):
    """Every grant is used at the end of its life, and the first of them was made as late as may be."""
    quantum = 0.25
    size, life = permits.of_a_grant(rate), permits.life_seconds()
    lateness = min(size / rate, permits.LATENESS * quantum)
    most = rate * (1 + (life if size > 1 else 0) + lateness) + size
    assert most <= max(rate * (1 + quantum), rate + 2) + 1e-6


def test_a_worker_draws_no_more_than_it_can_use_up_before_it_lapses():
    assert permits.of_a_grant(1_000) == 100
    assert permits.of_a_grant(1_000, pace=0.02) == 4
    assert permits.of_a_grant(1_000, pace=5) == 1
    assert permits.of_a_grant(10, pace=0.0001) == 1


def test_grants_are_as_far_apart_as_the_limit_says_and_a_little_lateness_is_made_good(db, owner):
    job = services.submit(user=owner, operation="note", items=["a"])
    permits.change(job, 100)
    permits.grant(job, NOW, 10)
    assert permits.free_at(job, NOW) == NOW + timedelta(seconds=0.1)
    permits.grant(job, NOW + timedelta(seconds=0.11), 10)
    assert permits.free_at(job, NOW) == NOW + timedelta(seconds=0.2)
    permits.grant(job, NOW + timedelta(seconds=60), 10)
    assert permits.free_at(job, NOW) == NOW + timedelta(seconds=60.05)


@pytest.mark.parametrize(
    ("taken", "place"),
    [
        ([], 1),
        ([1], 2),
        ([2], 1),
        ([1, 2, 3], 4),
        ([1, 3], 2),
        ([0, 0, 0], 4),
        ([1.3, 2.3], 3.3),
        ([1.8, 2.8], 1),
        ([300], 1),
    ],
)
def test_a_turn_takes_the_first_place_that_no_other_waits_for(taken, place):
    job = Job(rate_per_second=1, parallelism=4, rate_from=NOW + timedelta(seconds=1))
    others = [NOW + timedelta(seconds=seconds) for seconds in taken]
    assert (permits.free_place(job, NOW, others) - NOW).total_seconds() == place


def test_without_a_limit_every_place_is_now():
    job = Job(rate_per_second=None, rate_from=NOW + timedelta(seconds=9))
    assert permits.free_place(job, NOW, [NOW]) == NOW
