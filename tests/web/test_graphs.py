"""The graph of a job's speed: as high as it was fast, small whatever it shows, and none where there is no course."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkops.web import graphs


def heights(line: str) -> list[int]:
    """Up from the ground."""
    return [graphs.HEIGHT - int(y) for y in re.findall(r"\d+ (\d+)", line)]


def test_twice_as_fast_is_twice_as_high():
    slow = [(3.0 * n, 30 * n) for n in range(11)]
    fast = [(30 + 3.0 * n, 300 + 60 * n) for n in range(1, 11)]
    graph = graphs.of([*slow, *fast])
    assert graph is not None
    drawn = heights(graph.line)
    assert (drawn[0], drawn[-1]) == (20, 39)
    assert (graph.peak, graph.last) == (pytest.approx(20), pytest.approx(20))
    assert graph.area.startswith(graph.line)


def test_where_nothing_was_done_it_lies_on_the_ground():
    graph = graphs.of([(0, 0), (3, 30), (6, 60), (9, 60), (12, 60)])
    assert graph is not None
    assert heights(graph.line)[-1] == 0
    assert graph.description == "Up to 10 a second, over 12 s of work; nothing in the end."


@pytest.mark.parametrize(
    "course",
    [
        [],
        [(0.0, 0)],
        [(3.0 * n, n) for n in range(graphs.POINTS - 1)],
        [(0.2 * n, n) for n in range(20)],
        [(3.0 * n, 7) for n in range(20)],
    ],
)
def test_there_is_none_where_there_is_no_course(course):
    assert graphs.of(course) is None


def test_a_present_that_has_just_begun_draws_no_cliff():
    course = [(3.0 * n, 30 * n) for n in range(11)]
    graph = graphs.of([*course, (30.1, 300)])
    assert graph is not None
    assert set(heights(graph.line)) == {39}


@given(st.lists(st.tuples(st.floats(0, 1e5), st.integers(0, 10**6)), max_size=161))
def test_whatever_the_course_it_stays_in_its_frame_and_small(steps):
    seconds, items, course = 0.0, 0, [(0.0, 0)]
    for step, more in steps:
        seconds, items = seconds + step, items + more
        course.append((seconds, items))
    graph = graphs.of(course)
    if graph is not None:
        points = [tuple(map(int, point.split())) for point in re.findall(r"\d+ \d+", graph.line)]
        assert all(0 <= x <= graphs.WIDTH and 0 <= y <= graphs.HEIGHT for x, y in points)
        assert [x for x, _ in points] == sorted(x for x, _ in points)
        assert len(graph.area) + len(graph.line) < 900
