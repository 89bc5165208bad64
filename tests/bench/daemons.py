"""Other systems' own processes, for as long as a measurement lasts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.bench.database import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.stage import Helper, Stage

GRACE_SECONDS = 10


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
def stock(stage: Stage) -> Iterator[Helper]:
    """Stock django-q2 with two workers, on a database of its own of the same server."""
    with stage.database("stock") as url:
        env = {"DJANGO_SETTINGS_MODULE": "tests.bench.stock.settings", "STOCK_DATABASE_URL": url}
        with stage.helper("stock.program", **env) as helper:
            helper.ask("prepare")
            command = [sys.executable, "-m", "django", "qcluster"]
            with running(command, stage.folder / "stock.log", PYTHONPATH=str(ROOT), **env):
                yield helper
