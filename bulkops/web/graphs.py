"""The graph of a job's speed: items per second over the time that it was at work, as the paths of a small SVG.

Drawn from the job's samples, never from its items; at most `COLUMNS` steps wide, whatever they are.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from django.utils.translation import gettext

from bulkops import wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkops.estimate import Point

WIDTH, HEIGHT = 240, 40
COLUMNS = 48
POINTS, SECONDS = 5, 6.0
"""Less than so many samples, or so much time, is no course."""
NOW_SECONDS = 0.75
"""A present moment that is younger than this tells nothing yet."""


@dataclass(frozen=True)
class Graph:
    """Ready for the template."""

    area: str
    line: str
    peak: float
    last: float
    seconds: float
    width: int = WIDTH
    height: int = HEIGHT

    @property
    def caption(self) -> str:
        """What the heights mean, and the width."""
        said = gettext("Up to %(rate)s, over %(span)s of work")
        return said % {"rate": wording.rate(self.peak), "span": wording.span(self.seconds)}

    @property
    def description(self) -> str:
        """The same for those who do not see it, with its right end."""
        if not self.last:
            return gettext("%(caption)s; nothing in the end.") % {"caption": self.caption}
        end = {"caption": self.caption, "rate": wording.rate(self.last)}
        return gettext("%(caption)s; %(rate)s in the end.") % end


def of(course: Sequence[Point]) -> Graph | None:
    """The graph of a course; None where there is too little of it."""
    points = _rising(course)
    if len(points) < POINTS or points[-1][0] - points[0][0] < SECONDS:
        return None
    seconds = points[-1][0] - points[0][0]
    # No column is narrower than the samples are apart: it would only repeat its neighbour.
    columns = min(COLUMNS, len(points) - 1)
    ends = [points[0][0] + seconds * n / columns for n in range(columns + 1)]
    done = [_items_at(points, end) for end in ends]
    rates = [(later - sooner) * columns / seconds for sooner, later in pairwise(done)]
    peak = max(rates)
    if peak <= 0:
        return None
    # Each rate stands in the middle of its column; the first and the last reach to the edges.
    xs = [0, *(round(WIDTH * (n + 0.5) / columns) for n in range(1, columns - 1)), WIDTH]
    ys = [round(1 + (HEIGHT - 1) * (1 - rate / peak)) for rate in rates]
    line = "M" + " ".join(f"{x} {y}" for x, y in zip(xs, ys, strict=True))
    return Graph(f"{line} {WIDTH} {HEIGHT} 0 {HEIGHT}z", line, peak, rates[-1], seconds)


def _rising(course: Sequence[Point]) -> list[Point]:
    """Without samples of the same moment, and without a present that has just begun."""
    points = list(course[:1])
    for point in course[1:]:
        if point[0] > points[-1][0]:
            points.append(point)
    if len(points) > 1 and points[-1][0] - points[-2][0] < NOW_SECONDS:
        del points[-1]
    return points


def _items_at(points: Sequence[Point], seconds: float) -> float:
    """How many were processed by then, evenly between two samples."""
    after = bisect.bisect_left(points, (seconds, 0))
    if after == 0:
        return points[0][1]
    if after == len(points):
        return points[-1][1]
    (sooner, done), (later, by_then) = points[after - 1], points[after]
    return done + (by_then - done) * (seconds - sooner) / (later - sooner)
