"""What measurements share: people, real clusters, jobs in steady work, and helper programs, in the run's database."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import connection
from django.utils import timezone

from bulkops import services
from bulkops.models import Outcome
from bulkops.states import ENDED, JobState
from tests.bench.database import ROOT
from tests.clusters import RealCluster, wait_for
from ticketing.models import Event, Ticket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bulkops.models import Job
    from tests.bench.database import Owned

ITEMS_PER_SECOND = 15_000
"""More than any contestant does: no job may end within its window."""
PATIENCE_SECONDS = 60.0
OWN_ENVIRONMENT = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "SECRET_KEY", "DEBUG")
"""Which the test suite's own processes would be given otherwise."""


class Stage:
    """One run's."""

    def __init__(self, owned: Owned, *, quick: bool, folder: Path) -> None:
        self.owned = owned
        self.quick = quick
        self.folder = folder
        """For logs and scripts; gone with the run."""
        self.warm_seconds = 0.3 if quick else 0.5
        """After a job's first item, before its window."""
        self.window_seconds = 1.0 if quick else 3.0
        """Of steady work; as long as a slice, so that each has its share of slices' ends."""
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
    def cluster(self, workers: int, **env: str) -> Iterator[RealCluster]:
        """`manage.py qcluster` with the run's settings, from its first heartbeat on."""
        log = self.folder / f"cluster{next(self._numbers)}.log"
        cluster = RealCluster(log=log, workers=workers, **(self.environment | env))
        try:
            cluster.wait_until_alive()
            yield cluster
            cluster.terminate()
        finally:
            cluster.kill()

    def steady_rate(self, operation: str, *, items: list[Any] | None = None, parallelism: int = 1) -> float:
        """Items a second that a job committed within the window, by its outcomes in the database.

        The window opens some time after the first item, so no start is in it; the job is cancelled after it. Items
        repeat those given; without any, they are numbers.
        """
        count = round(ITEMS_PER_SECOND * (self.warm_seconds + self.window_seconds + 1))
        given = range(count) if items is None else list(itertools.islice(itertools.cycle(items), count))
        job = services.submit(user=self.person(), operation=operation, items=given, parallelism=parallelism)
        wait_for(Outcome.objects.filter(job=job).exists, PATIENCE_SECONDS, "the first item")
        time.sleep(self.warm_seconds + self.window_seconds + 0.1)  # the window itself
        done = self._within_window(job)
        self.end(job)
        return done / self.window_seconds

    def _within_window(self, job: Job) -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "WITH own AS"
                " (SELECT finished_at - min(finished_at) OVER () AS at FROM bulkops_outcome WHERE job_id = %s)"
                " SELECT count(*) FROM own WHERE at >= %s * interval '1 s' AND at < %s * interval '1 s'",
                [job.pk, self.warm_seconds, self.warm_seconds + self.window_seconds],
            )
            (done,) = cursor.fetchone()
        job.refresh_from_db()
        assert job.state not in ENDED, "the job ended within its window: it had too few items"
        assert not Outcome.objects.filter(job=job).exclude(state="succeeded").exists(), "items failed"
        return done

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
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()
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
