"""How items are cut into chunks: as large as they may be, and smaller towards the end of a job with several workers.

Whoever claims a large chunk last keeps the job open while the others idle, and a job of one chunk has work for one. So
each worker's share of what is left is halved at every claim (guided self-scheduling), which costs a few chunks more,
however many items there are. A job with one worker has nobody who waits.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

PARTS = 2
"""Into so many a worker's share of what is left is cut: half may turn out twice as slow, and all still end together."""
LEAST_ITEMS = 2
"""A chunk of one is more hand-over than work."""


def cut(weighed: Iterable[tuple[T, int]], *, most: int, most_bytes: int, workers: int) -> Iterator[list[T]]:
    """The items, each of which comes with its size in bytes, in chunks of at most so many and so large together.

    An item that is larger alone has a chunk of its own. Items are taken as they come, no more of them than fit into
    `PARTS` chunks for each worker.
    """
    ahead = PARTS * workers if workers > 1 else 1
    full, heavy = ahead * most, ahead * most_bytes
    waiting: deque[tuple[T, int]] = deque()
    weight = 0
    for one in weighed:
        waiting.append(one)
        weight += one[1]
        while len(waiting) > full or weight > heavy:
            count, size = _fitting(waiting, most, most_bytes)
            yield _taken(waiting, count)
            weight -= size
    while waiting:
        wanted = max(LEAST_ITEMS, math.ceil(len(waiting) / ahead))
        count, _ = _fitting(waiting, min(most, wanted), most_bytes)
        yield _taken(waiting, count)


def _fitting(waiting: deque[tuple[T, int]], most: int, most_bytes: int) -> tuple[int, int]:
    """How many of the first items make a chunk, at least one, and their size."""
    size = waiting[0][1]
    for count, (_, more) in enumerate(islice(waiting, 1, most), 1):
        if size + more > most_bytes:
            return count, size
        size += more
    return min(most, len(waiting)), size


def _taken(waiting: deque[tuple[T, int]], count: int) -> list[T]:
    return [waiting.popleft()[0] for _ in range(count)]
