"""*commit*: items that do nothing, through the real engine on one worker, against `pgbench` with the same statement."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bulkops import services
from bulkops.models import Outcome
from tests.bench import statement
from tests.bench.figures import Figure
from tests.bench.rounds import NotMeasured
from tests.bench.stage import ITEMS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.models import Job
    from tests.bench.stage import Stage

FIGURES = (
    Figure(
        name="commit",
        words="items that do nothing, one worker ÷ `pgbench -M prepared -c1` with the same statement",
        of="outside",
        against="pgbench",
        at_least=0.85,
    ),
    Figure(
        name="commit, transactional",
        words="the same of an operation whose items run in a transaction",
        of="inside",
        against="pgbench",
        at_least=0.85,
    ),
    Figure(
        name="commit, bare Python",
        words="a loop of the statement on the driver's own cursor ÷ `pgbench` with the same statement",
        of="bare",
        against="pgbench",
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    with stage.cluster(workers=1), stage.helper("bare") as bare:
        pgbench = stage.owned.pgbench()
        missing = NotMeasured("there is no pgbench on this machine")
        yield {
            "outside": lambda: stage.steady_rate("bench-nothing"),
            "inside": lambda: stage.steady_rate("bench-nothing-transactional"),
            "bare": lambda: _bare(stage, bare),
            "pgbench": (lambda: _pgbench(stage, pgbench)) if pgbench else missing,
        }


def _unserved(stage: Stage) -> Job:
    count = round(ITEMS_PER_SECOND * (stage.warm_seconds + stage.window_seconds + 1))
    return services.submit(user=stage.person(), operation="bench-unserved", items=range(count))


def _bare(stage: Stage, bare: Any) -> float:
    job = _unserved(stage)
    room = statement.room(job)
    given = bare.ask(
        "statement",
        first=room.first,
        size=room.size,
        epoch=room.epoch,
        warm_seconds=stage.warm_seconds,
        window_seconds=stage.window_seconds,
    )
    stage.end(job)
    return given


def _pgbench(stage: Stage, program: str) -> float:
    job = _unserved(stage)
    room = statement.room(job)
    script = stage.folder / "item.sql"
    script.write_text(statement.for_pgbench(room))
    seconds = max(1, round(stage.window_seconds))
    done = subprocess.run(
        [
            program,
            "-n",
            "-M",
            "prepared",
            "-c1",
            "-j1",
            "-T",
            str(seconds),
            "-f",
            str(script),
            "-D",
            "item=0",
            stage.owned.url,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    processed = int(re.findall(r"transactions actually processed: (\d+)", done.stdout)[0])
    assert Outcome.objects.filter(job=job).count() == processed, "pgbench moved on without the job"
    stage.end(job)
    return float(re.findall(r"tps = ([\d.]+)", done.stdout)[0])
