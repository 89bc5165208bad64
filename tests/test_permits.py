"""The arithmetic of a speed limit: how many permits at once, how far apart, and in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from bulkops import permits
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


@pytest.mark.parametrize("rate", [0.001, 0.5, 1, 3, 7, 40, 100, 12_345, 100_000])
@pytest.mark.parametrize("parallelism", [1, 2, 4, 16])
def test_even_at_the_worst_a_quantum_more_may_begin_in_a_second(rate, parallelism):
    """Every turn begins its whole grant late, in the same second, and one grant was taken late before it."""
    job = Job(rate_per_second=rate, parallelism=parallelism)
    size, spacing = permits.of_a_grant(rate, parallelism), permits.spacing_seconds(job)
    assert size / spacing == pytest.approx(rate)
    most = rate + (parallelism + 1) * size
    assert most <= max(rate * 1.25, rate + parallelism + 1) + 1e-6


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
