"""How long a slice and its items took, kept in this process until the slice's end stores it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bulkops.histograms import ITEM_SECONDS, SLICE_SECONDS, Histogram
from bulkops.tallies import Count

if TYPE_CHECKING:
    from types import TracebackType

ITEM, SLICE, FENCE_LOST = "item", "slice", "fence_lost"


class _Each:
    """Measures what runs within it, again and again; no generator, which would cost an item three times as much."""

    __slots__ = ("_began", "_measured")

    def __init__(self, measured: Histogram) -> None:
        self._measured = measured

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._measured.observe(time.perf_counter() - self._began)


class Watch:
    """Of one slice of one operation. A worker that is killed takes its slice's durations with it, and no item."""

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._items = Histogram(ITEM_SECONDS)
        self.item = _Each(self._items)
        """While an item is processed and committed, whatever comes of it."""
        self._began = time.perf_counter()
        self._fences_lost = 0

    def fence_lost(self) -> None:
        """Somebody else has the chunk."""
        self._fences_lost += 1

    @property
    def items(self) -> int:
        """How many were tried."""
        return sum(self._items.counts)

    @property
    def seconds(self) -> float:
        """Since the slice began."""
        return time.perf_counter() - self._began

    def counted(self) -> list[Count]:
        """What the slice's end adds to the totals; nothing where there was nothing to do."""
        labels = (self._operation,)
        found = []
        if self._items:
            whole = Histogram(SLICE_SECONDS)
            whole.observe(self.seconds)
            found += [Count.of(SLICE, labels, whole), Count.of(ITEM, labels, self._items)]
        if self._fences_lost:
            found.append(Count(FENCE_LOST, labels, (self._fences_lost,)))
        return found
