"""How fast a job is and how long it still takes, from what was counted of it lately. Knows no tables, only figures.

The rule, in the order in which it is applied:

1. What counts are the last `WINDOW` samples since the job was begun or resumed, or since its speed limit was changed;
   time in which it stood still by somebody's wish or for want of a worker is in none of them.
2. The window is cut into up to `PARTS` parts of as many samples each. How much their rates differ says how steady the
   job is: two standard deviations to each side, as they apply to the mean of what is left. Never less than `NEAR`, and
   `FAR` where what is left takes `FAR_WINDOWS` times as long as what was looked at, since speeds drift.
3. The range reaches from the slower to the faster of the whole window's rate and that of its latest third, and up to as
   much beyond the latter, the farther the end is: what has become faster may go on to.
4. A speed limit bounds it below: what is left takes at least as long as the limit makes of it.
5. No range where there is too little to go by (`SAMPLES`, `SECONDS`, `ITEMS`), or where its far end would be more than
   `WIDEST` times its near one: no figure rather than a wrong one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Point = tuple[float, int]
    """Seconds of work so far, and items processed by then."""

WINDOW = 32
PARTS = 8
SAMPLES = 4
SECONDS = 4.0
ITEMS = 4
NEAR, FAR, FAR_WINDOWS = 0.1, 0.25, 3
WIDEST = 4.0
MOMENT = 0.001
"""Seconds; within less there is no speed."""
RATE_SECONDS = 10.0
RATE_SAMPLES = 3
"""The rate that is shown is that of so many seconds and of so many samples at least."""


@dataclass(frozen=True)
class TimeLeft:
    """In seconds: the job's end is expected between the two."""

    low: float
    high: float


class Recent:
    """The latest stretch of a job's work, the present moment included where it says something."""

    def __init__(self, points: Sequence[Point], now: Point) -> None:
        """Points in order, none of them older than what is to be counted; `now` is what is counted at this moment."""
        self.now = now
        self.points = list(points[-WINDOW - 1 :])
        if self._tells(now):
            self.points = [*self.points, now][-WINDOW - 1 :]

    def _tells(self, now: Point) -> bool:
        """Whether the time since the last sample is to be counted.

        Between two samples a job may wait for its turn, or have one long item in hand: what is missing then comes with
        the next sample. Only when that is overdue, the job has become slower.
        """
        if not self.points:
            return True
        last = self.points[-1]
        waited = now[0] - last[0]
        usual = [later[0] - sooner[0] for sooner, later in pairwise(self.points[-PARTS - 1 :])]
        if waited <= 0 or not usual:
            return waited > 0
        if waited > 2 * max(usual):
            return True
        before = _rate(self.points[-RATE_SAMPLES - 1], last) if len(self.points) > RATE_SAMPLES else 0.0
        before = before or _rate(self.points[0], last)
        return waited > median(usual) / 4 and now[1] - last[1] >= before * waited / 2 > 0

    @property
    def rate(self) -> float | None:
        """Items per second lately; None where nothing was processed."""
        if not self.points:
            return None
        last = self.points[-1]
        for count, first in enumerate(reversed(self.points)):
            if count >= RATE_SAMPLES and last[0] - first[0] >= RATE_SECONDS:
                return _rate(first, last) or None
        return _rate(self.points[0], last) or None

    def left(self, items: int, *, limit: float | None = None) -> TimeLeft | None:
        """When so many items more will be processed; `limit` is the job's own, in items per second."""
        first, last = self.points[0] if self.points else self.now, self.points[-1] if self.points else self.now
        counted = last[1] - first[1]
        if len(self.points) < SAMPLES or last[0] - first[0] < SECONDS or counted < ITEMS or items <= 0:
            return None
        rate, spread, length = self._speed()
        if not rate:  # what was counted lies before the parts: nothing moves any more
            return None
        lately = _rate(self.points[-max(2, len(self.points) // 3) - 1], last)
        # What is left was counted now; the rates were, at the last sample.
        left = items + self.now[1] - last[1]
        parts_to_come, parts_seen = max(left / rate / length, 0.25), min(PARTS, len(self.points) - 1)
        drift = (lately - rate) * min(1.0, parts_to_come / parts_seen)
        far = min(1.0, parts_to_come / parts_seen / FAR_WINDOWS)
        unsure = max(NEAR + (FAR - NEAR) * far, 2 * spread * math.sqrt(1 / parts_seen + 1 / parts_to_come))
        rates = (rate, lately, lately + drift)
        fast, slow = max(rates) * (1 + unsure), min(rates) * max(0.0, 1 - unsure)
        if slow <= 0 or fast > WIDEST * slow:
            return None
        since = self.now[0] - last[0]
        least = items / limit if limit else 0.0
        low = max(left / fast - since, least, 0.0)
        return TimeLeft(low, max(left / slow - since, low, 1.0))

    def _speed(self) -> tuple[float, float, float]:
        """The window's rate, the relative deviation of its parts' rates, and how long a part is."""
        size = math.ceil((len(self.points) - 1) / PARTS)
        # From the end, so that a shorter part is the oldest one.
        bounds = self.points[::-1][::size][::-1]
        rate = _rate(bounds[0], bounds[-1])
        if not rate:
            return 0.0, math.inf, 0.0
        length = (bounds[-1][0] - bounds[0][0]) / (len(bounds) - 1)
        parts = list(pairwise(bounds))
        # Weighed by their length: a short part tells little.
        squares = sum((_rate(a, b) - rate) ** 2 * (b[0] - a[0]) for a, b in parts) / (bounds[-1][0] - bounds[0][0])
        few = len(parts) / (len(parts) - 1) if len(parts) > 1 else 2.0
        return rate, math.sqrt(squares * few) / rate, length


def _rate(first: Point, last: Point) -> float:
    seconds = last[0] - first[0]
    return (last[1] - first[1]) / seconds if seconds >= MOMENT else 0.0
