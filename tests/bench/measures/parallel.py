"""*parallel*: one job on several workers against the same on one; all of a cluster of 16, of which the others wait."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

WORKERS = 16

FIGURES = (
    Figure(
        name="parallel, 2",
        words="items that do nothing, 2 workers ÷ one worker",
        of="two",
        against="one",
        at_least=1.5,
    ),
    Figure(
        name="parallel, 4",
        words="items that do nothing, 4 workers ÷ one worker",
        of="four",
        against="one",
        at_least=2,
    ),
    Figure(
        name="parallel, 16",
        words="items that wait 2 ms, 16 workers ÷ one worker",
        of="sixteen_waiting",
        against="one_waiting",
        at_least=10,
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    with stage.cluster(workers=WORKERS):
        yield {
            name: partial(stage.steady_rate, operation, parallelism=workers)
            for name, operation, workers in (
                ("one", "bench-nothing", 1),
                ("two", "bench-nothing", 2),
                ("four", "bench-nothing", 4),
                ("one_waiting", "bench-wait", 1),
                ("sixteen_waiting", "bench-wait", WORKERS),
            )
        }
