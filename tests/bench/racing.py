"""Races: contestants work one after the other, in a random order, each for some seconds of steady work.

Each stands still while another works: nobody is stopped in the middle. A contestant that is, keeps its transaction
open, and while one is open nobody's old row versions are cleaned up: those of a chunk that changes with every item.
"""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, Protocol

from django.db.models import Sum

from bulkops.models import Outcome
from tests.bench import statement
from tests.clusters import wait_for
from ticketing.models import Ticket

if TYPE_CHECKING:
    from tests.bench.daemons import Daemon
    from tests.bench.stage import Helper, Stage
    from tests.clusters import RealCluster

FIRST_SECONDS = 60.0
WARM_SECONDS = 0.3
"""From the first item on, until it counts."""


class Racer(Protocol):
    """Who takes part."""

    def begin(self) -> None:
        """Start to work."""

    def count(self) -> int:
        """Items committed, by the database."""

    def end(self) -> None:
        """Stop working, before this returns; its processes run."""


def race(racers: dict[str, Racer], seconds: float) -> dict[str, float]:
    """Items a second of each, over so many seconds of its own."""
    return {name: _turn(name, racers[name], seconds) for name in random.sample(list(racers), len(racers))}


def _turn(name: str, racer: Racer, seconds: float) -> float:
    try:
        racer.begin()
        wait_for(racer.count, FIRST_SECONDS, f"the first item of {name}")
        time.sleep(WARM_SECONDS)
        before, began = racer.count(), time.perf_counter()
        time.sleep(seconds)
        done, took = racer.count() - before, time.perf_counter() - began
    finally:
        racer.end()
    return done / took


class JobRacer:
    """A job on a cluster that has nothing else to do."""

    def __init__(
        self, stage: Stage, cluster: RealCluster, operation: str, *, items: list[Any] | None = None, workers: int = 1
    ) -> None:
        self._stage, self._cluster, self._operation = stage, cluster, operation
        self._items, self._workers = items, workers

    def begin(self) -> None:
        self.job = self._stage.big_job(self._operation, self._items, self._workers)

    def count(self) -> int:
        return Outcome.objects.filter(job=self.job, state="succeeded").count()

    def end(self) -> None:
        self.job.refresh_from_db()
        assert self.job.slot is not None, "the job ended within the race: it had too few items"
        self._stage.end(self.job)
        assert not Outcome.objects.filter(job=self.job).exclude(state="succeeded").exists(), "items failed"


class PgbenchRacer:
    """`pgbench` on one connection, with the item's own statement, on the chunks of a job that no worker takes."""

    def __init__(self, stage: Stage, program: str) -> None:
        self._stage, self._program = stage, program

    def begin(self) -> None:
        self.job = self._stage.big_job("bench-unserved")
        script = self._stage.folder / "item.sql"
        script.write_text(statement.for_pgbench(statement.room(self.job)))
        options = ["-n", "-M", "prepared", "-c1", "-j1", "-T", "3600", "-D", "item=0", "-f", str(script)]
        self._process = subprocess.Popen(
            [self._program, *options, self._stage.owned.url],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def count(self) -> int:
        assert self._process.poll() is None, "pgbench ended"
        return Outcome.objects.filter(job=self.job).count()

    def end(self) -> None:
        self._process.send_signal(signal.SIGINT)
        _, said = self._process.communicate(timeout=10)
        assert not re.search("error", said), said
        self._stage.end(self.job)


class StatementRacer:
    """The same as a loop in Python, on the driver's own cursor; several at the same time, with a job each."""

    def __init__(self, stage: Stage, *helpers: Helper) -> None:
        self._stage, self._helpers = stage, helpers

    def begin(self) -> None:
        self.jobs = [self._stage.big_job("bench-unserved") for _ in self._helpers]
        for helper, job in zip(self._helpers, self.jobs, strict=True):
            room = statement.room(job)
            helper.tell("statement", first=room.first, size=room.size, epoch=room.epoch)

    def count(self) -> int:
        return Outcome.objects.filter(job__in=self.jobs).count()

    def end(self) -> None:
        for helper in self._helpers:
            helper.interrupt()
        for job in self.jobs:
            self._stage.end(job)


class OwnCodeRacer:
    """An operation's own code in `atomic()`, without a job; counted by what it changes: tickets' prices, by one."""

    def __init__(self, helper: Helper, operation: str, tickets: list[int]) -> None:
        self._helper, self._operation, self._tickets = helper, operation, tickets

    def begin(self) -> None:
        self._before = self._sum()
        self._helper.tell("own_code", operation=self._operation, items=self._tickets)

    def count(self) -> int:
        return self._sum() - self._before

    def end(self) -> None:
        self._helper.interrupt()

    def _sum(self) -> int:
        return Ticket.objects.filter(pk__in=self._tickets).aggregate(sum=Sum("price"))["sum"]


class TaskRacer:
    """A task of another system, told by a helper to begin, to say how far it is, and to end."""

    def __init__(self, daemon: Daemon, **how: Any) -> None:
        self._daemon, self._how = daemon, how

    def begin(self) -> None:
        self._daemon.helper.ask("begin", **self._how)

    def count(self) -> int:
        return self._daemon.helper.ask("done")

    def end(self) -> None:
        self._daemon.helper.ask("end")
