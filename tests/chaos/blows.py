"""What a storm does: kills, freezes and ends processes and sessions of every kind, and lets the database fall."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import psutil

from bulkops.models import Chunk, Turn
from tests.chaos import databases
from tests.chaos.databases import patiently
from tests.chaos.standstills import HOST_SECONDS, WORKER_SECONDS, Blow

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.chaos.databases import OwnDatabase
    from tests.chaos.hosts import Host, Hosts

FROZEN_WORKER_SECONDS = 5.0
"""After which a leader kills a worker that stays stopped."""


class Blows:
    """Strikes at random, and remembers what it did to whom."""

    def __init__(self, hosts: Hosts, database: OwnDatabase, chance: random.Random) -> None:
        self.hosts = hosts
        self.database = database
        self.chance = chance
        self.struck: list[Blow] = []
        self._frozen: dict[int, threading.Timer] = {}
        self._frozen_hosts: list[tuple[Host, Blow]] = []
        self._killed_hosts: list[tuple[int | None, Blow]] = []
        self._frozen_session = 0.0
        self._falls = 0
        self._kinds: list[tuple[Callable[[], None], int]] = [
            (self.kill_worker, 8),
            (self.terminate_worker, 2),
            (self.freeze_worker, 1),
            (self.freeze_worker_for_a_while, 1),
            (self.kill_leader, 1),
            (self.terminate_leader, 1),
            (self.freeze_leader, 1),
            (self.freeze_host, 1),
            (self.cut_session, 3),
            (self.freeze_session, 1),
        ]

    def strike(self) -> None:
        """One blow of a random kind; it may find nobody."""
        (blow,) = self.chance.choices([kind for kind, _ in self._kinds], [weight for _, weight in self._kinds])
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            blow()

    def look(self) -> None:
        """Note what hosts hold that are frozen or killed.

        The workers of a frozen leader go on, and take new jobs, until its row expires. What a killed host's worker had
        sent last, its session may commit some moments later.
        """
        self._frozen_hosts = [(host, blow) for host, blow in self._frozen_hosts if host.is_frozen]
        for host, blow in self._frozen_hosts:
            blow.jobs |= _held(host.row())
        self._killed_hosts = [(row, blow) for row, blow in self._killed_hosts if blow.at + blow.seconds > time.time()]
        for row, blow in self._killed_hosts:
            blow.jobs |= _held(row)

    def calm(self) -> None:
        """Let everything go on that was stopped."""
        for pid, timer in list(self._frozen.items()):
            timer.cancel()
            _go_on(pid)

    def kill_worker(self) -> None:
        self._hit_worker("kill -9 of a worker", signal.SIGKILL)

    def terminate_worker(self) -> None:
        self._hit_worker("SIGTERM of a worker", signal.SIGTERM)

    def freeze_worker(self) -> None:
        """Nobody ever continues it."""
        self._hit_worker("SIGSTOP of a worker", signal.SIGSTOP, FROZEN_WORKER_SECONDS)

    def freeze_worker_for_a_while(self) -> None:
        seconds = self.chance.uniform(0.3, 4)
        pid = self._hit_worker("SIGSTOP of a worker, then SIGCONT", signal.SIGSTOP, seconds)
        self._thaw_later(pid, seconds)

    def kill_leader(self) -> None:
        """Its workers die with it."""
        self._hit_leader("kill -9 of a leader", signal.SIGKILL, HOST_SECONDS, "host")

    def terminate_leader(self) -> None:
        """A deploy: another one is started when it has ended."""
        self._hit_leader("SIGTERM of a leader", signal.SIGTERM, WORKER_SECONDS, "worker")

    def freeze_leader(self) -> None:
        self._freeze("SIGSTOP of a leader, then SIGCONT", with_workers=False)

    def freeze_host(self) -> None:
        """As when a virtual machine is moved: all of it stands, and goes on as if nothing had been."""
        self._freeze("SIGSTOP of a leader and its workers, then SIGCONT", with_workers=True)

    def _freeze(self, kind: str, *, with_workers: bool) -> None:
        """For less or more time than its row is good; never of two, who would rescue whom?"""
        if any(host.is_frozen for host in self.hosts.each):
            return
        host, blow = self._hit_leader(kind, signal.SIGSTOP, HOST_SECONDS, "host")
        seconds = self.chance.uniform(2, 14)
        host.frozen_until = time.monotonic() + seconds
        self._frozen_hosts.append((host, blow))
        self._thaw_later(host.cluster.leader.pid, seconds)
        for pid in host.cluster.workers() if with_workers else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self._thaw_later(pid, seconds)

    def cut_session(self) -> None:
        """pg_terminate_backend of a worker's or a leader's session."""
        pid, name = self._session()
        jobs = _held_by_session(name)
        patiently(lambda: databases.cut([pid]))
        self.struck.append(Blow("session cut", time.time(), WORKER_SECONDS, "worker", jobs | _held_by_session(name)))

    def freeze_session(self) -> None:
        """A backend that is stopped may hold any lock, of the whole server too; one at a time."""
        if time.monotonic() < self._frozen_session:
            return
        seconds = self.chance.uniform(0.3, 2.5)
        pid, _ = self._session()
        os.kill(pid, signal.SIGSTOP)
        self._thaw_later(pid, seconds)
        self._frozen_session = time.monotonic() + seconds
        kind = "SIGSTOP of a backend, then SIGCONT"
        self.struck.append(Blow(kind, time.time(), seconds + WORKER_SECONDS, "database", all_jobs=True))

    def fall(self) -> None:
        """The whole database falls, by turns: a backend is killed with -9, and the server is restarted at once."""
        blow = Blow("", time.time(), 0, "database", all_jobs=True)
        self._falls += 1
        if self._falls % 2:
            blow.kind = "kill -9 of a backend"
            with suppress(ProcessLookupError):
                os.kill(self._session()[0], signal.SIGKILL)
            time.sleep(0.1)
        else:
            blow.kind = "restart -m immediate"
            self.database.restart("immediate")
        patiently(databases.sessions)
        blow.seconds = time.time() - blow.at + WORKER_SECONDS
        self.struck.append(blow)

    def _hit_worker(self, kind: str, number: signal.Signals, extra_seconds: float = 0.0) -> int:
        found = self.hosts.workers()
        if not found:
            raise ProcessLookupError
        host, pid = self.chance.choice(found)
        row, worker = host.row(), host.cluster.numbers().get(pid)
        jobs = _held(row, worker)
        os.kill(pid, number)
        # Nobody looks after the workers of a frozen leader, but who takes over the whole host.
        seconds = HOST_SECONDS if host.is_frozen else WORKER_SECONDS + extra_seconds
        cause = "host" if host.is_frozen else "frozen worker" if extra_seconds else "worker"
        self.struck.append(Blow(kind, time.time(), seconds, cause, jobs | _held(row, worker)))
        return pid

    def _hit_leader(self, kind: str, number: signal.Signals, seconds: float, cause: str) -> tuple[Host, Blow]:
        host = self.chance.choice(self.hosts.each)
        jobs = _held(host.row())
        os.kill(host.cluster.leader.pid, number)
        blow = Blow(kind, time.time(), seconds, cause, jobs | _held(host.row()))
        if number == signal.SIGKILL:
            self._killed_hosts.append((host.row(), blow))
        self.struck.append(blow)
        return host, blow

    def _session(self) -> tuple[int, str]:
        found = patiently(databases.sessions)
        if not found:
            raise ProcessLookupError
        return self.chance.choice(found)

    def _thaw_later(self, pid: int, seconds: float) -> None:
        """By a timer of its own: whoever struck may wait for a lock that the frozen one holds."""
        timer = threading.Timer(seconds, _go_on, [pid])
        timer.daemon = True
        self._frozen[pid] = timer
        timer.start()


def _go_on(pid: int) -> None:
    with suppress(ProcessLookupError, FileNotFoundError, PermissionError):
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
            os.kill(pid, signal.SIGCONT)


def _held(cluster: int | None, worker: int | None = None) -> set[UUID]:
    """The jobs of which a cluster, or one worker of it, has a turn or a chunk in hand."""
    if cluster is None:
        return set()
    whose = {"holder_id": cluster} | ({} if worker is None else {"worker": worker})

    def ask() -> set[UUID]:
        turns = Turn.objects.filter(**whose).values_list("job_id", flat=True)
        return set(turns.union(Chunk.objects.filter(**whose).values_list("job_id", flat=True)))

    return patiently(ask)


def _held_by_session(name: str) -> set[UUID]:
    """The same of the worker whose session has this name; of a leader's, none."""
    words = name.removeprefix("bulkops ").split("/")
    return _held(int(words[0]), int(words[1])) if len(words) == 2 else set()
