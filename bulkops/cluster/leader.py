"""The leader of a cluster: keeps its workers running, renews the cluster's row, and runs rescue.

Its row says who is alive: renewed every two seconds by the database's clock, committed before that round's rescue.
Its workers die with it. A worker that dies is noticed within a moment, what it held is taken back, another is started.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError, close_old_connections, connection, connections
from django_q.conf import Conf as QueueConf

from bulkops.clock import from_now
from bulkops.cluster import process
from bulkops.cluster.slots import Slots
from bulkops.conf import conf
from bulkops.engine import casualties, rescue, sessions
from bulkops.models import Cluster

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess
    from types import FrameType

    from bulkops.engine.hand import InHand

logger = logging.getLogger("bulkops.cluster")

LOOK_SECONDS = 0.1
DATABASE_AWAY_SECONDS = 0.5
QUICK_DEATH_SECONDS = 1.0
"""A worker that dies within this time is not replaced at once: whatever kills it may kill the next one too."""
FROZEN_SECONDS = 5.0
"""A worker that stays stopped (SIGSTOP, a debugger) for so long is killed: what it holds waits for nobody."""
ROUND_LOCK_TIMEOUT = "1s"
"""A row somebody has locked is left for the next round, so that one frozen holder stops nobody's rescue."""


def configured_workers() -> int:
    """How many worker processes `Q_CLUSTER` asks for."""
    return QueueConf.WORKERS


@dataclass
class Lost:
    """A worker whose process is gone, and what it had in hand if that is to blame."""

    number: int
    in_hand: InHand | None
    timed_out: bool


class Leader:
    """Runs in the main process of `manage.py qcluster`."""

    def __init__(self, *, workers: int, queues: list[str]) -> None:
        self.wanted = workers
        self.queues = queues
        self.cluster = Cluster(name=f"{socket.gethostname()}:{os.getpid()}", workers=workers, queues=queues)
        self.processes: dict[int, ForkProcess] = {}
        self.slots = Slots(workers)
        self.lost: list[Lost] = []
        self._timed_out: set[int] = set()
        self._excused: set[int] = set()
        self._frozen_since: dict[int, float] = {}
        self._numbers = 0
        self._signals = 0
        self._next_round = 0.0
        self._spawned_at = self._next_spawn = 0.0

    def run(self) -> int:
        """Work until SIGTERM or SIGINT; return the exit status."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        self._register()
        if self.cluster.pk is None:
            return 0  # asked to stop before the database ever answered
        logger.info(
            "cluster=%s event=started workers=%s queues=%s", self.cluster.name, self.wanted, ",".join(self.queues)
        )
        while not self._signals:
            self._look_after_workers()
            self._round_if_due()
            time.sleep(LOOK_SECONDS)
        self._stop()
        return 0

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        self._signals += 1  # nothing else: whatever was interrupted may hold any lock

    def _register(self) -> None:
        while not self._signals:
            try:
                self.cluster.alive_until = from_now(conf().cluster_alive_seconds)
                self.cluster.save(force_insert=True)
                return
            except (DatabaseError, InterfaceError) as error:
                logger.warning("cluster=%s event=database_away %s", self.cluster.name, type(error).__name__)
                connection.close()
                time.sleep(DATABASE_AWAY_SECONDS)

    def _look_after_workers(self) -> None:
        for number, child in list(self.processes.items()):
            if child.is_alive():
                self._watch(number, child)
            else:
                self._bury(number, child)
        while not self._signals and len(self.processes) < self.wanted and time.monotonic() >= self._next_spawn:
            self._spawn()

    def _watch(self, number: int, child: ForkProcess) -> None:
        """Kill a worker whose item overstays its time, and one that somebody has frozen, who is not to blame."""
        seen = self.slots.of(number).read()
        if seen is not None and seen.overdue:
            self._timed_out.add(number)
        elif not self._stays_frozen(number, child):
            return
        elif number not in self._timed_out:
            self._excused.add(number)
        child.kill()

    def _stays_frozen(self, number: int, child: ForkProcess) -> bool:
        if not _is_stopped(child.pid):
            self._frozen_since.pop(number, None)
            return False
        return time.monotonic() - self._frozen_since.setdefault(number, time.monotonic()) > FROZEN_SECONDS

    def _bury(self, number: int, child: ForkProcess) -> None:
        """Note what a worker that is gone had in hand; the next round, which is due at once, takes it back."""
        del self.processes[number]
        seen = self.slots.of(number).read()
        self.slots.give_back(number)
        blamed = seen is not None and number not in self._excused
        in_hand = seen.in_hand if seen is not None and blamed else None
        self.lost.append(Lost(number, in_hand, timed_out=number in self._timed_out))
        self._next_round = 0.0
        if time.monotonic() - self._spawned_at < QUICK_DEATH_SECONDS:
            self._next_spawn = time.monotonic() + QUICK_DEATH_SECONDS
        log = logger.info if child.exitcode == 0 else logger.warning
        log("cluster=%s worker=%s event=worker_ended status=%s", self.cluster.name, number, child.exitcode)

    def _spawn(self) -> None:
        connections.close_all()  # a connection shared over a fork would be used by two
        self._numbers += 1
        slot = self.slots.take(self._numbers)
        child = multiprocessing.get_context("fork").Process(
            target=process.work,
            args=(self.cluster.pk, self._numbers, self.queues, os.getpid(), slot),
            name=f"worker-{self._numbers}",
            daemon=True,
        )
        child.start()
        self._spawned_at = time.monotonic()
        self.processes[self._numbers] = child
        logger.info("cluster=%s worker=%s event=worker_started pid=%s", self.cluster.name, self._numbers, child.pid)

    def _round_if_due(self) -> None:
        if time.monotonic() < self._next_round:
            return
        self._next_round = time.monotonic() + conf().cluster_renew_seconds
        try:
            close_old_connections()
            self._renew()
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, false)", [ROUND_LOCK_TIMEOUT])
            self._take_back_lost()
            rescue.rescue()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("cluster=%s event=database_away %s", self.cluster.name, type(error).__name__)
            connection.close()
            self._next_round = time.monotonic() + DATABASE_AWAY_SECONDS

    def _renew(self) -> None:
        until = from_now(conf().cluster_alive_seconds)
        if not Cluster.objects.filter(pk=self.cluster.pk).update(alive_until=until):
            self.cluster.alive_until = until
            self.cluster.save(force_insert=True)

    def _take_back_lost(self) -> None:
        for lost in list(self.lost):
            if lost.in_hand is not None:
                sessions.end_of_worker(self.cluster.pk, lost.number)
                casualties.record(lost.in_hand, timed_out=lost.timed_out)
                lost.in_hand = None
            if rescue.release_worker(self.cluster, lost.number):
                self.lost.remove(lost)

    def _stop(self) -> None:
        """Let each worker end its item in hand and hand on; kill them at a second signal."""
        logger.info("cluster=%s event=stopping", self.cluster.name)
        told_at = 0.0
        while self.processes:
            # Told again each second: a worker that has just been forked does not listen yet.
            if time.monotonic() - told_at >= 1:
                for child in self.processes.values():
                    child.terminate()
                told_at = time.monotonic()
            if self._signals > 1:
                self._excused |= set(self.processes)
                for child in self.processes.values():
                    child.kill()
            self._look_after_workers()
            self._round_if_due()
            time.sleep(LOOK_SECONDS)
        try:
            self._take_back_lost()
            self.cluster.delete()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("cluster=%s event=database_away %s", self.cluster.name, type(error).__name__)
        logger.info("cluster=%s event=stopped", self.cluster.name)


def _is_stopped(pid: int | None) -> bool:
    """Whether a signal or a debugger has stopped the process; False where /proc does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"T", "t"}
    except (OSError, IndexError):
        return False
