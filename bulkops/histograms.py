"""How long things took, counted into classes of duration; in this process, until somebody stores the counts.

The bounds of each kind are part of what is stored: counts are added up place by place. So bounds are never changed;
other bounds are another kind, under another name.
"""

from __future__ import annotations

from bisect import bisect_left

MICROSECONDS = 1_000_000

REQUEST_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""A poll takes milliseconds; a submission with a large file takes seconds, and a gateway waits for a minute."""
ITEM_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
SLICE_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 300.0)
"""A slice ends with the item in hand: just above `slice_seconds`, or as long as the longest item."""
CALL_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0)
"""A receiver of a webhook."""


class Histogram:
    """Counts by class of duration: up to and including each bound, in seconds, and one more for all above."""

    __slots__ = ("bounds", "counts", "microseconds")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.microseconds = 0

    def observe(self, seconds: float) -> None:
        """Count one that took so long."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        # Whole numbers: sums of fractions depend on their order, and a total that falls by a hair counts as begun anew.
        self.microseconds += round(seconds * MICROSECONDS)

    def __bool__(self) -> bool:
        return any(self.counts)
