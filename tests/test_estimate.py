"""Rate and time left: ranges hold what comes true, in jobs of every kind of speed, and there is none to mislead."""

from __future__ import annotations

import bisect
import heapq
import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkops.estimate import ITEMS, SAMPLES, SECONDS, WIDEST, Recent

SLICE_SECONDS = 3.0


def steady(per_second: float, samples: int, apart: float = 3.0) -> list[tuple[float, int]]:
    return [(n * apart, round(n * apart * per_second)) for n in range(samples)]


# -- simulated jobs


@dataclass
class Played:
    """A job that was: when each item was done, and when a slice ended."""

    done: list[float]
    samples: list[float]

    @property
    def end(self) -> float:
        return self.done[-1]

    def seen_at(self, now: float) -> tuple[Recent, int]:
        """What is known of it at that moment, and how many items are left."""
        points = [(0.0, 0)]
        for at in self.samples:
            if at <= now and at - points[-1][0] >= 1:
                points.append((at, bisect.bisect_right(self.done, at)))
        processed = bisect.bisect_right(self.done, now)
        return Recent(points, (now, processed)), len(self.done) - processed


SPEEDS = {
    "steady": lambda chance, mean, way: mean * chance.uniform(0.7, 1.3),
    "random": lambda chance, mean, way: mean * chance.expovariate(1),
    "slower and slower": lambda chance, mean, way: mean * (1 + 0.4 * way) * chance.uniform(0.7, 1.3),
    "faster and faster": lambda chance, mean, way: mean * (1 - 0.4 * way) * chance.uniform(0.7, 1.3),
    "bursts": lambda chance, mean, way: mean * (10 if chance.random() < 0.05 else 0.5),
}


def play(kind: str, seed: int) -> Played:
    """Some workers take items in slices; in some jobs they wait for their turn between two slices."""
    chance = random.Random(f"{kind}{seed}")
    mean = 10 ** chance.uniform(-2.3, 1.5)
    count = int(chance.uniform(30, 300)) if mean > 1 else min(int(chance.uniform(60, 600) / mean), 8000)
    workers = [(0.0, 0.0)] * chance.choice([1, 1, 2, 4])
    wait = chance.choice([0, 0, 0, 6, 20])
    done: list[float] = []
    samples: list[float] = []
    for n in range(count):
        at, since = heapq.heappop(workers)
        at += SPEEDS[kind](chance, mean, n / count)
        done.append(at)
        if at - since >= SLICE_SECONDS:
            samples.append(at)
            at = since = at + wait * chance.uniform(0.7, 1.3)
        heapq.heappush(workers, (at, since))
    return Played(sorted(done), sorted(samples))


@pytest.mark.parametrize(
    ("kind", "share"),
    [("steady", 0.9), ("random", 0.9), ("slower and slower", 0.9), ("faster and faster", 0.8), ("bursts", 0.85)],
)
def test_the_true_end_lies_in_the_range_in_the_promised_share(kind: str, share: float):
    told = right = asked = 0
    for seed in range(60):
        job = play(kind, seed)
        chance = random.Random(seed)
        for _ in range(6):
            now = chance.uniform(0.05, 0.98) * job.end
            recent, left = job.seen_at(now)
            asked += 1
            if (eta := recent.left(left)) is not None:
                told += 1
                right += eta.low - 1 <= job.end - now <= eta.high + 1
    assert right / told >= share, f"{right} of {told}"
    assert told / asked > 0.5, "and it is no answer to say nothing"


def test_a_range_is_narrow_where_the_speed_is_steady():
    eta = Recent(steady(10, 20), (57.0, 570)).left(6000)
    assert eta is not None
    assert 470 < eta.low < 600 < eta.high < 810
    near = Recent(steady(10, 20), (57.0, 570)).left(200)
    assert near is not None
    assert 17 < near.low < 20 < near.high < 23


# -- none rather than a wrong one


@pytest.mark.parametrize(
    "points",
    [
        [],
        [(0.0, 0)],
        steady(10, SAMPLES - 1),
        steady(10, 20, apart=SECONDS / 40),
        [(0.0, 0), (40.0, 1), (80.0, 2), (120.0, ITEMS - 1)],
    ],
)
def test_there_is_none_where_there_is_too_little_to_go_by(points):
    now = points[-1] if points else (0.0, 0)
    assert Recent(points, now).left(100) is None


def test_there_is_none_where_the_speed_varies_wildly():
    points = [(0.0, 0), (3.0, 3000), (6.0, 3010), (9.0, 3011), (12.0, 6000), (15.0, 6005), (18.0, 6010)]
    assert Recent(points, points[-1]).left(5000) is None


def test_there_is_none_where_nothing_moves_any_more():
    points = [*steady(10, 10), *[(27.0 + 3 * n, 270) for n in range(1, 8)]]
    assert Recent(points, points[-1]).left(5000) is None


def test_there_is_none_where_all_that_was_counted_came_at_the_very_beginning():
    points = [(0.0, 0), *[(3.0 * n, 5) for n in range(1, 10)]]  # as where the others wait for their next attempt
    assert Recent(points, points[-1]).left(100) is None
    at_once = [(0.0, 0), (3.0, 1000), (3.0, 1000), (4.0, 1000), *[(30.0, 1000)] * 6]
    assert Recent(at_once, at_once[-1]).left(100) is None


def test_there_is_none_where_nothing_is_left():
    assert Recent(steady(10, 20), (57.0, 570)).left(0) is None


# -- between two samples


def test_the_rate_moves_from_the_first_second_on():
    assert Recent([(0.0, 0)], (1.5, 30)).rate == pytest.approx(20)


def test_a_job_that_waits_for_its_turn_or_has_a_long_item_in_hand_keeps_its_rate():
    points = [(40.0 * n, n) for n in range(10)]
    rates = [Recent(points, (360.0 + waited, 9)).rate for waited in (1, 30, 75)]
    assert rates == pytest.approx([1 / 40] * 3)


def test_an_item_that_is_overdue_lowers_the_rate():
    points = [(40.0 * n, n) for n in range(10)]
    assert Recent(points, (360.0 + 200, 9)).rate < 0.8 / 40


def test_the_end_comes_nearer_while_a_long_item_is_in_hand():
    points = [(40.0 * n, n) for n in range(10)]
    now, later = (Recent(points, (360.0 + waited, 9)).left(20) for waited in (0, 30))
    assert now is not None
    assert later is not None
    assert now.low - later.low == pytest.approx(30)
    assert now.high - later.high == pytest.approx(30)


def test_what_came_since_the_last_sample_counts():
    slow, fast = (Recent(steady(10, 4), (11.5, 90 + items)).rate for items in (20, 60))
    assert fast > slow


def test_the_rate_is_of_the_last_seconds_and_the_range_of_more():
    points = [*steady(10, 20), *[(57.0 + 3 * n, 570 + 45 * n) for n in range(1, 6)]]
    assert Recent(points, points[-1]).rate == pytest.approx(15)


# -- whatever the figures


courses = st.lists(st.tuples(st.floats(0.0, 60.0), st.integers(0, 5000)), min_size=0, max_size=160).map(
    lambda steps: [(sum(s for s, _ in steps[:n]), sum(i for _, i in steps[:n])) for n in range(len(steps) + 1)]
)
sinces = st.tuples(st.floats(0.0, 300.0), st.integers(0, 5000))


@given(courses, sinces, st.integers(0, 10**7), st.none() | st.floats(0.001, 1e6))
def test_a_range_is_one_and_keeps_to_the_limit(course, since, left, limit):
    now = (course[-1][0] + since[0], course[-1][1] + since[1])
    recent = Recent(course, now)
    assert recent.rate is None or recent.rate > 0
    eta = recent.left(left, limit=limit)
    if eta is not None:
        assert 0 <= eta.low <= eta.high < math.inf
        assert eta.high >= 1
        assert limit is None or eta.low >= left / limit


@given(st.floats(0.01, 5000), st.integers(SAMPLES, 60), st.floats(1.0, 60.0), st.integers(1, 10**6))
def test_an_even_speed_has_a_range_around_the_truth(per_second, samples, apart, left):
    points = [(n * apart, int(n * apart * per_second)) for n in range(samples)]
    eta = Recent(points, points[-1]).left(left)
    if eta is not None:
        slack = 1 + 2 / per_second
        assert eta.low - slack <= left / per_second <= eta.high + slack
        assert eta.high <= WIDEST * max(eta.low, 1) + slack
