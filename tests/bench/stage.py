"""What measurements share: people, real clusters, jobs in steady work, and helper programs, in the run's database."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from bulkops import services
from bulkops.states import ENDED, JobState
from tests.bench.database import ROOT
from tests.clusters import RealCluster, wait_for
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bulkops.models import Job
    from tests.bench.database import Owned

ITEMS_PER_SECOND = 40_000
"""More than anybody does: no job may end within its race."""
PATIENCE_SECONDS, ANSWER_SECONDS = 60.0, 120.0
OWN_ENVIRONMENT = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "SECRET_KEY", "DEBUG")
"""Which the test suite's own processes would be given otherwise."""


class Stage:
    """One run's."""

    def __init__(self, owned: Owned, *, quick: bool, folder: Path) -> None:
        self.owned = owned
        self.quick = quick
        self.folder = folder
        """For logs and scripts; gone with the run."""
        self.race_seconds = 1.0 if quick else 3.0
        """Of work of each who takes part in a race."""
        self.environment = {name: os.environ[name] for name in OWN_ENVIRONMENT}
        self._numbers = itertools.count()

    def person(self) -> Any:
        """Somebody who may do everything and has no job yet."""
        return get_user_model().objects.create_superuser(f"person{next(self._numbers)}")

    def tickets(self, count: int) -> list[int]:
        """New rows to be changed."""
        name = f"B{next(self._numbers)}"
        event = Event.objects.create(name=name, venue="here", starts_at=timezone.now())
        made = Ticket.objects.bulk_create(
            Ticket(event=event, code=f"{name}-{number}", seat=str(number), price=1_000) for number in range(count)
        )
        return [ticket.pk for ticket in made]

    @contextmanager
    def cluster(self, workers: int, queues: str = "", **env: str) -> Iterator[RealCluster]:
        """`manage.py qcluster` with the run's settings, from its first heartbeat on."""
        log = self.folder / f"cluster{next(self._numbers)}.log"
        cluster = RealCluster(log=log, workers=workers, queues=queues, **(self.environment | env))
        try:
            cluster.wait_until_alive()
            yield cluster
            cluster.terminate()
        finally:
            cluster.kill()

    def big_job(self, operation: str, items: list[Any] | None = None, parallelism: int = 1) -> Job:
        """A job that lasts longer than a race. Items repeat those given; without any, they are numbers."""
        count = round(ITEMS_PER_SECOND * (self.race_seconds + 2))
        given = range(count) if items is None else list(itertools.islice(itertools.cycle(items), count))
        return services.submit(user=self.person(), operation=operation, items=given, parallelism=parallelism)

    def whole_rate(self, operation: str, items: int, parallelism: int = 1) -> float:
        """Items a second of a whole job, from before its submission to its end."""
        before = timezone.now()
        job = services.submit(user=self.person(), operation=operation, items=range(items), parallelism=parallelism)

        def completed() -> bool:
            job.refresh_from_db()
            return job.state == JobState.COMPLETED

        wait_for(completed, PATIENCE_SECONDS, "the job's completion")
        return items / (job.finished_at - before).total_seconds()

    @staticmethod
    def end(job: Job) -> None:
        """Cancel it, and wait until nobody works on it."""
        services.cancel(job=job, actor=None)

        def ended() -> bool:
            job.refresh_from_db()
            return job.state in ENDED

        wait_for(ended, PATIENCE_SECONDS, "the job's end")

    @staticmethod
    def clear() -> None:
        """Forget all jobs: what one measurement left makes no other slower."""
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE bulkops_job, django_q_ormq, django_q_task CASCADE")
            cursor.execute("VACUUM ANALYZE")

    def name_of(self, beside: str) -> str:
        """Of a database beside the run's own."""
        return f"{self.owned.name}_{beside}"

    @contextmanager
    def database(self, beside: str) -> Iterator[str]:
        """Another database of the same server, gone after it; its URL."""
        name = self.name_of(beside)
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield self.owned.beside(name)
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")

    @contextmanager
    def helper(self, module: str, python: str = sys.executable, **env: str) -> Iterator[Helper]:
        """A program of this package that does one thing after the other as it is told."""
        helper = Helper(module, self.folder / f"helper{next(self._numbers)}.log", env, python)
        try:
            yield helper
        finally:
            helper.close()


class Helper:
    """`python -m tests.bench.<module>`: a line of JSON in, a line of JSON out."""

    def __init__(self, module: str, log: Path, env: dict[str, str], python: str) -> None:
        self.log = log
        with log.open("w") as said:
            self._process = subprocess.Popen(
                [python, "-m", f"tests.bench.{module}"],
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )

    def ask(self, do: str, **what: Any) -> Any:
        """Have it done; the answer."""
        self.tell(do, **what)
        return self._answer()

    def tell(self, do: str, **what: Any) -> None:
        """Have it begin; `interrupt` or its own end brings the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()

    def interrupt(self) -> Any:
        """End what it is at; the answer."""
        self._process.send_signal(signal.SIGINT)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
        assert ready, f"no answer for {ANSWER_SECONDS:.0f} s; the program's log says:\n{self.log.read_text()}"
        line = self._process.stdout.readline()
        assert line, f"the program ended; its log says:\n{self.log.read_text()}"
        return json.loads(line)

    def close(self) -> None:
        """It ends with its input. Again: nothing."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
