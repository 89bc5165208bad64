"""*parallel*: a job on several workers against one on one worker, each on a cluster of its own."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure
from tests.bench.operations import queue_of
from tests.bench.racing import JobRacer, race

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.racing import Racer
    from tests.bench.stage import Stage

FIGURES = (
    Figure(
        name="parallel, 2",
        words="items that do nothing, 2 workers ÷ one worker",
        of="two.2",
        against="two.1",
        at_least=1.5,
    ),
    Figure(
        name="parallel, 4",
        words="items that do nothing, 4 workers ÷ one worker",
        of="four.4",
        against="four.1",
        at_least=2,
    ),
    Figure(
        name="parallel, 16",
        words="items that wait 2 ms, 16 workers ÷ one worker",
        of="sixteen.16",
        against="sixteen.1",
        at_least=10,
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        clusters = {n: stack.enter_context(stage.cluster(n, queue_of(n))) for n in (1, 2, 4, 16)}

        def racers(operation: str, *numbers: int) -> dict[str, Racer]:
            return {str(n): JobRacer(stage, clusters[n], f"{operation}-{n}", workers=n) for n in numbers}

        yield {
            "two": partial(race, racers("bench-nothing", 1, 2), stage.race_seconds),
            "four": partial(race, racers("bench-nothing", 1, 4), stage.race_seconds),
            "sixteen": partial(race, racers("bench-wait", 1, 16), stage.race_seconds),
        }
