"""Plays contestants in rounds: each once a round, in a random order, so that a machine's moods hit all alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

Values = dict[str, float]
"""What one round gave, by name: a contestant's own, or `contestant.part` where one gives several."""


@dataclass(frozen=True)
class NotMeasured:
    """Stands for a contestant that cannot take part."""

    reason: str


Contestant = "Callable[[], float | Mapping[str, float]] | NotMeasured"


def play(
    contestants: Mapping[str, Callable[[], float | Mapping[str, float]] | NotMeasured],
    rounds: int,
    order: random.Random,
    said: Callable[[int, Values], None] = lambda number, values: None,
) -> list[Values]:
    """The values of each round; `said` hears of each as it ends."""
    names = [name for name, one in contestants.items() if not isinstance(one, NotMeasured)]
    played = []
    for number in range(rounds):
        order.shuffle(names)
        values: Values = {}
        for name in names:
            one = contestants[name]
            assert not isinstance(one, NotMeasured)
            given = one()
            if isinstance(given, (int, float)):
                values[name] = float(given)
            else:
                values |= {f"{name}.{part}": float(value) for part, value in given.items()}
        played.append(values)
        said(number, values)
    return played
