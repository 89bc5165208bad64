"""The site under gunicorn, as the Procfile starts it, and what may be seen of its processes from outside."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from django.conf import settings
from django.test import Client

from bulkops import tokens
from tests.bench.database import ROOT
from tests.clusters import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

THREADS = 4
MEGABYTE = 1024 * 1024


class Web:
    """One gunicorn."""

    def __init__(self, stage: Stage, processes: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = (stage.folder / f"web{self.port}.log").open("w")
        words = ["project.wsgi", "--bind", f"127.0.0.1:{self.port}", "--threads", str(THREADS), "--no-control-socket"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--pythonpath", "site", "--workers", str(processes), *words],
            cwd=ROOT,
            env={**os.environ, **stage.environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def serves(self) -> bool:
        """Whether it answers."""
        try:
            return self.get("/healthz").status == 200
        except OSError:
            return False

    def get(self, path: str, **headers: str) -> Any:
        """The answer, read to its end."""
        return self._asked("GET", path, None, headers)

    def post(self, path: str, body: Any, **headers: str) -> Any:
        """The same; a body may be an open file, which is sent as it is read."""
        return self._asked("POST", path, body, headers)

    def _asked(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            line.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            answer: Any = line.getresponse()
            answer.content = answer.read()
            return answer
        finally:
            line.close()

    def workers(self) -> list[int]:
        """Processes that answer requests."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def stop(self) -> None:
        """All of it."""
        self.process.terminate()
        self.process.wait(20)
        self._log.close()


@contextmanager
def serving(stage: Stage, processes: int = 1) -> Iterator[Web]:
    """The site, from its first answer on."""
    web = Web(stage, processes)
    try:
        wait_for(web.serves, 30, "the web server")
        yield web
    finally:
        web.stop()


def session_of(user: Any) -> dict[str, str]:
    """Headers of somebody who has logged in on the page."""
    client = Client()
    client.force_login(user)
    return {"Cookie": f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"}


def token_of(user: Any) -> dict[str, str]:
    """Headers of somebody's program."""
    return {"Authorization": f"Token {tokens.make(user=user, name='bench')[1]}"}


class Memory:
    """How much more a process needed at its peak than before; Linux alone tells."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        (self._folder / "clear_refs").write_text("5")  # the peak begins anew
        time.sleep(0.05)
        self._before = self._kilobytes("VmRSS")

    def more(self) -> float:
        """MB."""
        return (self._kilobytes("VmHWM") - self._before) * 1024 / MEGABYTE

    def _kilobytes(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
