"""A module for each measurement: `FIGURES`, and `contestants(stage)`, a context in which they are ready to play."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from tests.bench.figures import Figure
    from tests.bench.rounds import NotMeasured
    from tests.bench.stage import Stage

NAMES = ("commit", "round_trips", "transactional", "parallel", "pick_up", "idle", "fairness", "submit", "peers")
"""In the order in which they are played and told."""


class Measurement(Protocol):
    """What such a module has."""

    FIGURES: tuple[Figure, ...]

    @staticmethod
    def contestants(
        stage: Stage,
    ) -> AbstractContextManager[Mapping[str, Callable[[], float | Mapping[str, float]] | NotMeasured]]:
        """By name; each is called once a round, and nothing else runs meanwhile."""


def named(name: str) -> Any:
    """The module of that measurement. It needs Django's settings."""
    return import_module(f"tests.bench.measures.{name}")
