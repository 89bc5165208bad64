"""Chunks are as large as they may be, and smaller towards the end where several workers want to end together."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkops import cutting, services
from bulkops.models import Chunk
from tests.sample.operations import Note

BYTES = 1_000_000


def sizes(count: int, *, most: int, workers: int, most_bytes: int = BYTES) -> list[int]:
    weighed = ((number, 1) for number in range(count))
    return [len(chunk) for chunk in cutting.cut(weighed, most=most, most_bytes=most_bytes, workers=workers)]


def idle_share(chunks: list[int], workers: int) -> float:
    """Of the workers' time, what they stand idle at the end, each taking the next chunk as soon as it is free."""
    busy_until = [0] * workers
    for size in chunks:
        soonest = min(range(workers), key=busy_until.__getitem__)
        busy_until[soonest] += size
    return 1 - sum(chunks) / (max(busy_until) * workers)


@given(
    st.lists(st.integers(0, 60), max_size=200),
    st.integers(1, 30),
    st.integers(1, 100),
    st.integers(1, 9),
)
@example([60, 60], 5, 50, 1)
def test_every_item_is_in_one_chunk_in_order_and_no_chunk_is_too_large(weights, most, most_bytes, workers):
    weighed = list(enumerate(weights))
    chunks = list(cutting.cut(weighed, most=most, most_bytes=most_bytes, workers=workers))
    assert [number for chunk in chunks for number in chunk] == list(range(len(weights)))
    for chunk in chunks:
        assert 1 <= len(chunk) <= most
        assert len(chunk) == 1 or sum(weights[number] for number in chunk) <= most_bytes


def test_with_one_worker_all_chunks_but_the_last_are_full():
    assert sizes(7, most=3, workers=1) == [3, 3, 1]
    assert sizes(6, most=3, workers=1) == [3, 3]
    assert sizes(6, most=3, workers=1, most_bytes=2) == [2, 2, 2]


def test_with_several_workers_the_last_chunks_are_small():
    assert sizes(200, most=20, workers=2) == [*[20] * 7, 15, 12, 9, 6, 5, 4, 3, 2, 2, 2]


def test_a_job_of_a_few_items_has_work_for_all_its_workers():
    assert len(sizes(100, most=1_000, workers=8)) >= 8
    assert sizes(8, most=1_000, workers=4) == [2, 2, 2, 2]


@pytest.mark.parametrize("workers", [2, 3, 8])
@pytest.mark.parametrize("count", [500, 1_003, 10_000])
@pytest.mark.parametrize("most", [20, 1_000])
def test_workers_end_together(count, most, workers):
    assert idle_share(sizes(count, most=most, workers=workers), workers) < 0.03


@pytest.mark.slow
def test_a_job_of_very_many_items_has_hardly_more_chunks_for_it():
    whole = math.ceil(1_000_000 / 1_000)
    assert len(sizes(1_000_000, most=1_000, workers=4)) <= whole + 60


def test_no_more_items_are_waited_for_than_tell_that_the_end_is_far():
    taken = []

    def items(weight):
        for number in range(1_000):
            taken.append(number)
            yield number, weight

    assert len(next(cutting.cut(items(1), most=10, most_bytes=BYTES, workers=2))) == 10
    assert len(taken) == 10 * 2 * cutting.PARTS + 1
    taken.clear()
    assert len(next(cutting.cut(items(100), most=10, most_bytes=300, workers=2))) == 3
    assert len(taken) == 3 * 2 * cutting.PARTS + 1


@pytest.mark.django_db
@pytest.mark.parametrize("collected", [False, True])
def test_a_job_is_cut_for_the_workers_that_it_was_given(owner, worker, monkeypatch, collected):
    monkeypatch.setattr(Note, "parallelism", 4)
    items = [str(number) for number in range(40)]
    if collected:
        monkeypatch.setattr(Note, "items", lambda *_: items)
    given = None if collected else items
    job = services.submit(user=owner, operation="note", items=given, parallelism=4)
    worker.finish(job)
    chunks = list(Chunk.objects.filter(job=job).order_by("number").values_list("size", flat=True))
    assert (chunks[0], sum(chunks), chunks[-1]) == (5, 40, 2)
    alone = services.submit(user=owner, operation="note", items=given, parallelism=1)
    worker.finish(alone)
    assert list(alone.chunks.values_list("size", flat=True)) == [40]
