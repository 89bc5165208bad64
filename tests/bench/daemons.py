"""Other systems' own processes, for as long as a measurement lasts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.database import ROOT
from tests.clusters import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.stage import Helper, Stage

GRACE_SECONDS = 10


@dataclass(frozen=True)
class Daemon:
    """Another system's cluster, and the program that sends it tasks."""

    helper: Helper


@contextmanager
def running(command: list[str], log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, and all that it starts."""
    with log.open("w") as said:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def stock(stage: Stage) -> Iterator[Daemon]:
    """Stock django-q2 with two workers, on a database of its own of the same server."""
    with stage.database("stock") as url:
        env = {"DJANGO_SETTINGS_MODULE": "tests.bench.stock.settings", "STOCK_DATABASE_URL": url}
        with stage.helper("stock.program", **env) as helper:
            helper.ask("prepare")
            command = [sys.executable, "-m", "django", "qcluster"]
            with running(command, stage.folder / "stock.log", PYTHONPATH=str(ROOT), **env):
                yield Daemon(helper)


@contextmanager
def celery(stage: Stage, python: Path, redis: str) -> Iterator[Daemon]:
    """Celery with two processes, on a Redis of its own that keeps nothing on disk."""
    socket = stage.folder / "redis.sock"
    alone = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", str(stage.folder)]
    env = {"BENCH_REDIS": f"redis+socket://{socket}", "PYTHONPATH": str(ROOT)}
    worker = [str(python), "-m", "celery", "-A", "tests.bench.peers.celery_app", "worker", "-c", "2", "-l", "WARNING"]
    with running([redis, *alone], stage.folder / "redis.log"):
        wait_for(socket.exists, 10, "Redis")
        with (
            running(worker, stage.folder / "celery.log", **env),
            stage.helper("peers.celery_program", python=str(python), **env) as helper,
        ):
            helper.ask("task_per_item", items=4)  # from here on its processes are there
            yield Daemon(helper)


@contextmanager
def procrastinate(stage: Stage, python: Path) -> Iterator[Daemon]:
    """procrastinate with two jobs at a time, on a database of its own of the same server."""
    with stage.database("procrastinate") as url:
        env = {"PEER_DATABASE_URL": url.replace("postgres://", "postgresql://", 1), "PYTHONPATH": str(ROOT)}
        worker = [str(python), "-m", "procrastinate", "--app", "tests.bench.peers.procrastinate_app.app", "worker"]
        with stage.helper("peers.procrastinate_program", python=str(python), **env) as helper:
            helper.ask("prepare")
            with running([*worker, "--concurrency", "2"], stage.folder / "procrastinate.log", **env):
                helper.ask("task_per_item", items=4)
                yield Daemon(helper)
