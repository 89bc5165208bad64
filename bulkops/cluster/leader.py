"""The leader of a cluster: keeps its workers running, renews its row, runs rescue, watchdog, schedules and courier.

Its row says who is alive: renewed every two seconds by the database's clock, committed before that round's rescue.
Its workers die with it. A worker that dies is noticed within a moment, what it held is taken back, another is started.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

from django.db import DatabaseError, Error, InterfaceError, connection
from django_q.conf import Conf as QueueConf

from bulkops import tallies
from bulkops.clock import ClockTimestamp, from_now
from bulkops.cluster.couriers import Couriers, serves
from bulkops.cluster.schedules import Schedules
from bulkops.cluster.strays import Strays
from bulkops.cluster.watchdog import Watchdog
from bulkops.cluster.workers import Workers
from bulkops.conf import conf
from bulkops.engine import casualties, rescue, sessions
from bulkops.models import Cluster
from bulkops.outage import Outage, is_away, is_lock_timeout

if TYPE_CHECKING:
    from types import FrameType

    from bulkops.cluster.workers import Dead

logger = logging.getLogger("bulkops.cluster")

LOOK_SECONDS = 0.1
DATABASE_AWAY_SECONDS = 0.5
ASK_AGAIN_SECONDS = 1.0
FORGET_EVERY_SECONDS = 600.0
FOLD_EVERY_SECONDS = 30.0


def configured_workers() -> int:
    """How many worker processes `Q_CLUSTER` asks for."""
    return QueueConf.WORKERS


class Leader:
    """Runs in the main process of `manage.py qcluster`."""

    def __init__(self, *, workers: int, queues: list[str]) -> None:
        self.cluster = Cluster(name=f"{socket.gethostname()}:{os.getpid()}", workers=workers, queues=queues)
        self._outage = Outage(logger, f"cluster={self.cluster.name}")
        self.workers = Workers(self.cluster, workers, queues)
        self._watchdog = Watchdog(self.workers, queues)
        self._strays = Strays(self.workers)
        self._schedules = Schedules(self.cluster.name) if "default" in queues else None
        self._couriers = Couriers(self.cluster) if serves(queues) else None
        self._signals = 0
        self._next_round = self._next_forgetting = self._next_fold = 0.0

    def run(self) -> int:
        """Work until SIGTERM or SIGINT; return the exit status."""
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        sessions.of_leader()
        self._register()
        if self.cluster.pk is None:
            return 0  # asked to stop before the database ever answered
        logger.info(
            "cluster=%s event=started workers=%s queues=%s",
            self.cluster.name,
            self.workers.wanted,
            ",".join(self.workers.queues),
        )
        while not self._signals:
            self._look_after_workers()
            self._round_if_due()
            if self._schedules is not None:
                self._schedules.look()
            if self._couriers is not None:
                self._couriers.look()
            time.sleep(LOOK_SECONDS)
        self._stop()
        return 0

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        self._signals += 1  # nothing else: whatever was interrupted may hold any lock

    def _register(self) -> None:
        while not self._signals:
            try:
                self.cluster.started_at = ClockTimestamp()  # no host's own clock: how fast jobs are is told by it
                self.cluster.alive_until = from_now(conf().cluster_alive_seconds)
                self.cluster.save(force_insert=True)
                self._outage.over()
                return
            except (DatabaseError, InterfaceError) as error:
                self._outage.met(error)
                connection.close()
                time.sleep(DATABASE_AWAY_SECONDS)

    def _look_after_workers(self, *, replace: bool = True) -> None:
        if self.workers.look(replace=replace):
            self._next_round = 0.0  # what it held is taken back at once

    def _round_if_due(self) -> None:
        if time.monotonic() < self._next_round:
            return
        self._next_round = time.monotonic() + conf().cluster_renew_seconds
        try:
            self._renew()
            self._record_dead()
            ends_at = time.monotonic() + conf().cluster_renew_seconds
            rescue.rescue(ends_at, cluster=self.cluster, living=self.workers.living)
            self._watchdog.look(stopping=self._signals > 0)
            self._strays.look()
            self._forget_if_due()
            self._fold_if_due()
            self._outage.over()
        except (DatabaseError, InterfaceError) as error:
            self._outage.met(error)
            connection.close()
            self._next_round = time.monotonic() + DATABASE_AWAY_SECONDS
        except Exception:  # a job that cannot be mended, say: the workers have others to do
            logger.exception("cluster=%s event=round_failed", self.cluster.name)
            connection.close()

    def _renew(self) -> None:
        until = from_now(conf().cluster_alive_seconds)
        if not Cluster.objects.filter(pk=self.cluster.pk).update(alive_until=until):
            self.cluster.alive_until = until
            self.cluster.save(force_insert=True)

    def _record_dead(self) -> None:
        """Record what dead workers had in hand, before what they held is taken back, which raises the fence."""
        for dead in list(self.workers.dead):
            sessions.end_of_worker(self.cluster.pk, dead.number)
            if self._is_settled(dead):
                self.workers.dead.remove(dead)

    def _is_settled(self, dead: Dead) -> bool:
        """Record it; False where a row is locked. What cannot be recorded is let go, or it would end every round."""
        try:
            return dead.in_hand is None or casualties.record(dead.in_hand, timed_out=dead.timed_out)
        except Exception as error:  # not one death may keep the leader from the others
            if is_lock_timeout(error):
                return False
            if isinstance(error, Error) and is_away(error):
                raise
            logger.exception("cluster=%s worker=%s event=death_unrecorded", self.cluster.name, dead.number)
            return True

    def _forget_if_due(self) -> None:
        if time.monotonic() >= self._next_forgetting:
            self._next_forgetting = time.monotonic() + FORGET_EVERY_SECONDS
            rescue.forget_long_dead()

    def _fold_if_due(self) -> None:
        if time.monotonic() >= self._next_fold:
            self._next_fold = time.monotonic() + FOLD_EVERY_SECONDS
            tallies.fold()

    def _stop(self) -> None:
        """Let each worker end its item in hand and hand on; kill them at a second signal."""
        logger.info("cluster=%s event=stopping", self.cluster.name)
        if self._schedules is not None:
            self._schedules.stop()
        if self._couriers is not None:
            self._couriers.ask_to_stop()
        asked_at = 0.0
        while self.workers.any_left:
            if time.monotonic() - asked_at >= ASK_AGAIN_SECONDS:
                self.workers.ask_to_stop()
                asked_at = time.monotonic()
            if self._signals > 1:
                self.workers.kill()
            self._look_after_workers(replace=False)
            self._round_if_due()
            time.sleep(LOOK_SECONDS)
        if self._couriers is not None:
            self._couriers.stop()
        try:
            self._record_dead()
            rescue.release_gone(self.cluster, living=self.workers.living)
            self.cluster.delete()
        except (DatabaseError, InterfaceError) as error:
            self._outage.met(error)
        logger.info("cluster=%s event=stopped", self.cluster.name)
