"""*transactional*: items that change one row by ORM, with their progress, against the operation's own code alone."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure
from tests.bench.racing import JobRacer, OwnCodeRacer, race

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.racing import Racer
    from tests.bench.stage import Stage

OPERATION = "bench-change-row"
ROWS = 1_000

FIGURES = (
    Figure(
        name="transactional",
        words="items that change one row by ORM, one worker ÷ the same code in `atomic()`, without a job",
        of="rows.worker",
        against="rows.own_code",
        at_least=0.75,
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    with stage.cluster(workers=1) as cluster, stage.helper("bare") as bare:
        # Rows of their own, so that nobody meets what the other has left to be vacuumed.
        racers: dict[str, Racer] = {
            "worker": JobRacer(stage, cluster, OPERATION, items=stage.tickets(ROWS)),
            "own_code": OwnCodeRacer(bare, OPERATION, stage.tickets(ROWS)),
        }
        yield {"rows": partial(race, racers, stage.race_seconds)}
