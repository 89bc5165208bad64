"""*commit*: items that do nothing, through the real engine on one worker, against `pgbench` with the same statement."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure
from tests.bench.racing import JobRacer, PgbenchRacer, StatementRacer, race
from tests.bench.rounds import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.racing import Racer
    from tests.bench.stage import Stage

FIGURES = (
    Figure(
        name="commit",
        words="items that do nothing, one worker ÷ `pgbench -M prepared -c1` with the same statement",
        of="outside.worker",
        against="outside.pgbench",
        at_least=0.85,
    ),
    Figure(
        name="commit, transactional",
        words="the same of an operation whose items run in a transaction",
        of="inside.worker",
        against="inside.pgbench",
        at_least=0.85,
    ),
    Figure(
        name="commit, bare Python",
        words="a loop of the statement on the driver's own cursor ÷ `pgbench` with the same statement",
        of="bare.loop",
        against="bare.pgbench",
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    pgbench = stage.owned.pgbench()
    if pgbench is None:
        missing = NotMeasured("there is no pgbench on this machine")
        yield dict.fromkeys(("outside", "inside", "bare"), missing)
        return
    with stage.cluster(workers=1) as cluster, stage.helper("bare") as bare:
        reference = PgbenchRacer(stage, pgbench)
        races: dict[str, dict[str, Racer]] = {
            "outside": {"worker": JobRacer(stage, cluster, "bench-nothing"), "pgbench": reference},
            "inside": {"worker": JobRacer(stage, cluster, "bench-nothing-transactional"), "pgbench": reference},
            "bare": {"loop": StatementRacer(stage, bare), "pgbench": reference},
        }
        yield {name: partial(race, racers, stage.race_seconds) for name, racers in races.items()}
