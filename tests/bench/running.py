"""One run: the measurements asked for, one after the other, told as they go, and written down."""

from __future__ import annotations

import random
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import machine, measures, report, rounds
from tests.bench.figures import Answer, answer
from tests.bench.rounds import NotMeasured
from tests.bench.stage import Stage

if TYPE_CHECKING:
    from argparse import Namespace

    from tests.bench.database import Owned

DISK = "fdatasync_us"
"""Played in each round beside the contestants: what a commit waits for changes while others use the disk."""
README = report.ROOT / "README.md"


def run(asked: Namespace, owned: Owned) -> int:
    """Measure; the exit status: 0 unless a measurement broke. A missed target is told, and no failure."""
    known = machine.facts(owned.data)
    print(machine.told(known), flush=True)
    answers: list[Answer] = []
    played: dict[str, Any] = {}
    broken = 0
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(owned, quick=asked.quick, folder=Path(folder))
        for name in asked.names or measures.NAMES:
            print(f"\n{name}", flush=True)
            stage.clear()
            module = measures.named(name)
            try:
                found, played[name] = _measure(module, stage, asked)
            except Exception as error:  # one that breaks leaves the others to be measured
                traceback.print_exc()
                broken += 1
                found = [Answer(figure=figure, reason=f"broke: {_line(error)}") for figure in module.FIGURES]
            answers += found
    known |= machine.disk(values[DISK] for one in played.values() for values in one)
    print(f"\n{report.table(answers)}\n\n{machine.told(known)}\n")
    print(f"written to {report.write_json(answers, known, played).relative_to(report.ROOT)}")
    if asked.quick:
        print("with --quick, short and few rounds: a look, and nothing to judge by")
    if asked.readme:
        README.write_text(report.into(README.read_text(), answers, known))
        print("README.md has the table")
    return 1 if broken else 0


def _measure(module: Any, stage: Stage, asked: Namespace) -> tuple[list[Answer], list[rounds.Values]]:
    with module.contestants(stage) as contestants:
        disk = {DISK: lambda: machine.fdatasync_us(stage.owned.data)}
        played = rounds.play(disk | dict(contestants), asked.rounds, random.Random(asked.seed), _say)
        missing = {name: one.reason for name, one in contestants.items() if isinstance(one, NotMeasured)}
    return [answer(figure, played, missing) for figure in module.FIGURES], played


def _say(number: int, values: rounds.Values) -> None:
    told = ", ".join(f"{name} {report.short(value)}" for name, value in sorted(values.items()))
    print(f"  round {number + 1}: {told}", flush=True)


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
