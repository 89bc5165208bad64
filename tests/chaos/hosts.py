"""The hosts of a storm: a cluster each, started again whenever it is gone, and what is left of them at the end."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from bulkops.models import Cluster
from tests.chaos.databases import patiently, sessions
from tests.clusters import RealCluster, wait_for
from tests.sites import WEB

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MARK = "BULKOPS_STORM"
"""In the environment of every process of a storm, so that none can hide by changing its parent or its session."""
GRACE_SECONDS = 5


class Host:
    """One host: whatever happens to its cluster, there is soon another."""

    def __init__(self, name: str, folder: Path, workers: int, environment: dict[str, str]) -> None:
        self.name = name
        self.frozen_until = 0.0
        self._folder = folder
        self._workers = workers
        self._environment = environment
        self._rows: dict[int, int] = {}
        self.logs: list[Path] = []
        self.start()

    def start(self) -> None:
        """Start a cluster; it is not waited for."""
        self.logs.append(self._folder / f"{self.name}-{len(self.logs)}.log")
        self.cluster = RealCluster(log=self.logs[-1], workers=self._workers, **self._environment)

    def keep_up(self) -> None:
        """What a supervisor would do."""
        if self.cluster.leader.poll() is not None:
            self.start()

    @property
    def is_frozen(self) -> bool:
        """Whether its leader was stopped by a signal, and is not continued yet."""
        return time.monotonic() < self.frozen_until

    def row(self) -> int | None:
        """Its cluster's key, as soon as there is one."""
        pid = self.cluster.leader.pid
        if pid not in self._rows:
            found = Cluster.objects.filter(name=f"{socket.gethostname()}:{pid}").values_list("pk", flat=True).first()
            if found is None:
                return None
            self._rows[pid] = found
        return self._rows[pid]


class Hosts:
    """All of them."""

    def __init__(self, folder: Path, count: int, workers: int, environment: dict[str, str] | None = None) -> None:
        self.mark = uuid.uuid4().hex
        marked = {**(environment or {}), MARK: self.mark}
        self.each = [Host(f"host{number}", folder, workers, marked) for number in range(count)]

    def keep_up(self) -> None:
        """Start again what is gone."""
        for host in self.each:
            host.keep_up()

    def workers(self) -> list[tuple[Host, int]]:
        """Every worker's process, with its host."""
        return [(host, pid) for host in self.each for pid in host.cluster.workers()]

    def tracebacks(self) -> list[str]:
        """The last line of each traceback in the logs."""
        found = []
        for log in (log for host in self.each for log in host.logs):
            blocks = log.read_text(errors="replace").split("Traceback (most recent call last):\n")[1:]
            found += [next((line for line in block.splitlines() if not line.startswith(" ")), "") for block in blocks]
        return found

    def orphans(self) -> list[str]:
        """Processes that are neither a leader nor a leader's worker, and stay."""
        leaders = {host.cluster.leader.pid for host in self.each}
        return _stay(lambda: [one for one in self._marked() if one.pid not in leaders and one.ppid() not in leaders])

    def stop(self, seconds: float) -> list[str]:
        """End all of them in order; say what did not go as it should, or was left in processes and sessions."""
        for host in self.each:
            # One that was started this moment ends by the signal, as any program does.
            wait_for(lambda host=host: patiently(host.row), seconds, f"{host.name} to start")
            host.cluster.leader.send_signal(signal.SIGTERM)
        wrong = []
        for host in self.each:
            with suppress(subprocess.TimeoutExpired):
                host.cluster.leader.wait(seconds)
            if host.cluster.leader.poll() != 0:
                wrong.append(f"{host.name}: after SIGTERM its leader's exit status is {host.cluster.leader.poll()}")
        wrong += [f"left over: {process}" for process in _stay(self._marked)]
        return wrong + [f"left over: session {session}" for session in _stay(_sessions)]

    def kill(self) -> None:
        """Whatever is left."""
        for process in self._marked():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for host in self.each:
            host.cluster.leader.wait(10)

    def _marked(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def _sessions() -> list[tuple[int, str]]:
    """Of workers and leaders; a web server goes on."""
    return [(pid, name) for pid, name in patiently(sessions) if name != WEB]


def _stay(find: Callable[[], list]) -> list[str]:
    """What is found, if it does not vanish within the time of grace."""
    ends = time.monotonic() + GRACE_SECONDS
    found: list = []
    while True:
        with suppress(psutil.NoSuchProcess):
            found = find()
            if not found:
                return []
        if time.monotonic() > ends:
            return [str(one) for one in found]
        time.sleep(0.1)
