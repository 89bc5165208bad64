"""Figures: the median over rounds of a ratio (or of one contestant's own value), judged by a target."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.rounds import Values


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A question; `of` and `against` name contestants, or parts of what they give."""

    name: str
    words: str
    """What is divided by what, for people."""
    of: str
    against: str | None = None
    """None: the value of `of` itself, in `unit`."""
    unit: str = "times"
    at_least: float | None = None
    at_most: float | None = None

    @property
    def target(self) -> str:
        """In words; empty where there is none."""
        if self.at_least is not None:
            return f"at least {self.at_least:g}"
        return f"at most {self.at_most:g}" if self.at_most is not None else ""

    def contestants(self) -> list[str]:
        """Whom it needs."""
        return [name.split(".")[0] for name in (self.of, self.against) if name]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of a figure: its value round by round, or why there is none."""

    figure: Figure
    values: tuple[float, ...] = ()
    reason: str = ""
    medians: tuple[float, ...] = ()
    """Of the two contestants' own values."""

    @property
    def value(self) -> float | None:
        """The median; None where it was not measured."""
        return median(self.values) if self.values else None

    @property
    def met(self) -> bool | None:
        """None where there is no target or no value."""
        figure, value = self.figure, self.value
        if value is None:
            return None
        if figure.at_least is not None:
            return value >= figure.at_least
        return value <= figure.at_most if figure.at_most is not None else None


def answer(figure: Figure, rounds: Sequence[Values], missing: dict[str, str]) -> Answer:
    """Work it out; `missing` says which contestants could not take part, and why."""
    for name in figure.contestants():
        if name in missing:
            return Answer(figure=figure, reason=missing[name])
    own = [one[figure.of] for one in rounds]
    if figure.against is None:
        return Answer(figure=figure, values=tuple(own), medians=(median(own),))
    other = [one[figure.against] for one in rounds]
    ratios = tuple(mine / theirs for mine, theirs in zip(own, other, strict=True))
    return Answer(figure=figure, values=ratios, medians=(median(own), median(other)))
