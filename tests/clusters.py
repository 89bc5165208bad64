"""Real worker clusters on the test database, to be watched, signalled and killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil
from django.conf import settings
from django.db import connection

from bulkops.models import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def database_url() -> str:
    """The test database, as another process reaches it."""
    of = connection.settings_dict
    password = f":{quote(of['PASSWORD'], safe='')}" if of.get("PASSWORD") else ""
    query = f"?host={quote(of['HOST'], safe='')}" if of["HOST"].startswith("/") else ""
    address = "" if query else f"{of['HOST']}"
    port = f":{of['PORT']}" if of["PORT"] else ""
    return f"postgres://{quote(of['USER'])}{password}@{address}{port}/{quote(of['NAME'])}{query}"


def environment(**extra: str) -> dict[str, str]:
    """An environment in which manage.py works on the test database with the test settings."""
    return {
        **os.environ,
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "SECRET_KEY": settings.SECRET_KEY,
        "DEBUG": "1",
        "PYTHONUNBUFFERED": "1",
        **extra,
    }


def wait_for(condition: Callable[[], Any], seconds: float, what: str = "") -> Any:
    """Ask until the answer is truthy, and return it."""
    ends = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < ends, f"waited {seconds} s in vain for {what or condition}"
        time.sleep(0.02)
    return answer


WITH_PRELUDE = """
import sys
sys.path.insert(0, "site")
import django, manage
django.setup()
exec(sys.argv.pop(1))
sys.argv[0] = "manage.py"
manage.main()
"""


class RealCluster:
    """`manage.py qcluster` in a session of its own, its output in a file."""

    def __init__(self, *, log: Path, workers: int = 2, queues: str = "", prelude: str = "", **env: str) -> None:
        """`prelude`: Python that is run first in the leader's process, as a project's own code would be."""
        self.log = log
        program = ["-c", WITH_PRELUDE, prelude] if prelude else ["manage.py"]
        served = ["--queues", queues] if queues else []
        with log.open("w") as out:
            self.leader = subprocess.Popen(
                [sys.executable, *program, "qcluster", "--workers", str(workers), *served],
                cwd=settings.BASE_DIR,
                env=environment(**env),
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.wanted = workers

    def wait_until_alive(self, seconds: float = 30) -> None:
        """Wait for its row and its workers."""
        try:
            wait_for(lambda: self._rows().exists() and len(self.workers()) >= self.wanted, seconds)
        except AssertionError:
            raise AssertionError(f"the cluster does not start; its log says:\n{self.log.read_text()}") from None
        self.row_id = self._rows().get().pk

    def _rows(self) -> Any:
        return Cluster.objects.filter(name=f"{socket.gethostname()}:{self.leader.pid}")

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        try:
            return [child.pid for child in psutil.Process(self.leader.pid).children() if child.status() != "zombie"]
        except psutil.NoSuchProcess:
            return []

    def pid_of(self, number: int) -> int:
        """The process of the worker with that number, as the leader's log says."""
        started = rf"worker={number} event=worker_started pid=(\d+)"
        # The process is there a moment before its line.
        said: list[str] = wait_for(lambda: re.findall(started, self.log.read_text()), 10, f"worker {number} in the log")
        return int(said[-1])

    def numbers(self) -> dict[int, int]:
        """The number of each worker that was ever started, by its process id."""
        said = re.findall(r"worker=(\d+) event=worker_started pid=(\d+)", self.log.read_text())
        return {int(pid): int(number) for number, pid in said}

    def group(self) -> list[int]:
        """Every living process of its session."""
        found = []
        for process in psutil.process_iter(["pid", "status"]):
            try:
                if os.getsid(process.pid) == self.leader.pid and process.info["status"] != "zombie":
                    found.append(process.pid)
            except (ProcessLookupError, psutil.NoSuchProcess):
                continue
        return found

    def terminate(self, seconds: float = 20) -> int:
        """SIGTERM to the leader; return its exit status."""
        self.leader.send_signal(signal.SIGTERM)
        return self.leader.wait(seconds)

    def kill(self) -> None:
        """SIGKILL to all of it."""
        for pid in self.group():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.leader.wait(10)
