"""*transactional*: items that change one row by ORM, with their progress, against the operation's own code alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

OPERATION = "bench-change-row"
ROWS = 1_000

FIGURES = (
    Figure(
        name="transactional",
        words="items that change one row by ORM, one worker ÷ the same code in `atomic()`, without a job",
        of="job",
        against="own_code",
        at_least=0.75,
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    # Rows of their own, so that nobody meets what the other has left to be vacuumed.
    for_job, for_own_code = stage.tickets(ROWS), stage.tickets(ROWS)
    with stage.cluster(workers=1), stage.helper("bare") as bare:
        yield {
            "job": lambda: stage.steady_rate(OPERATION, items=for_job),
            "own_code": lambda: bare.ask(
                "own_code",
                operation=OPERATION,
                items=for_own_code,
                warm_seconds=stage.warm_seconds,
                window_seconds=stage.window_seconds,
            ),
        }
