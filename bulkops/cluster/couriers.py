"""Runs the process that sends webhooks and e-mails: begun when something is due, gone when nothing is.

A process of its own, so no job ever waits for a receiver. The outbox is its queue; which cluster sends what, the leases
of the endpoints say. What is new in it, a notification tells the leader, without a question to the database; what
becomes due later or was lost, it asks for every few seconds.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg2
from django.db import DatabaseError, InterfaceError, connection, connections

from bulkops.cluster.process import Stop, die_with
from bulkops.webhooks import claiming, courier, outbox

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

    from bulkops.models import Cluster

logger = logging.getLogger("bulkops.cluster")

QUEUE = "webhooks"
LOOK_SECONDS = 8.0
"""How often the leader asks what is due where no notification came."""
STOP_SECONDS = 2.0
"""A cluster that stops waits so long for a receiver; what is not answered by then is sent again elsewhere."""


def serves(queues: list[str]) -> bool:
    """Whether a cluster of these queues sends webhooks: the usual one does, and one that is for nothing else."""
    return bool({"default", QUEUE} & set(queues))


class Couriers:
    """A leader's; there is one process at a time."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._process: ForkProcess | None = None
        self._began = 0.0
        self._next_look = self._stops_until = 0.0
        self._listening_on: Any = None

    def look(self) -> None:
        """Begin where something is due, and take back what a process that is gone had in hand.

        Leaves a database that is away to the leader's next round, which says so and connects again.
        """
        if self._process is not None and self._process.is_alive():
            self._end_if_stuck(self._process)
            return
        if connection.connection is None:
            return
        try:
            if self._process is not None:
                claiming.let_go_all(self._cluster.pk)
                self._process, self._next_look = None, 0.0
            if self._is_time():
                self._next_look = time.monotonic() + LOOK_SECONDS
                if claiming.anything_due():
                    self._begin()
        except (DatabaseError, InterfaceError, psycopg2.Error):
            connection.close()

    def _is_time(self) -> bool:
        """Whether a notification came, or may have been missed, or the wait is over."""
        driver = connection.connection
        if self._listening_on is not driver:
            with connection.cursor() as cursor:
                cursor.execute(f'LISTEN "{outbox.CHANNEL}"')
            self._listening_on = driver
            return True
        driver.poll()
        told = bool(driver.notifies)
        driver.notifies.clear()
        return told or time.monotonic() >= self._next_look

    def ask_to_stop(self) -> None:
        """Let it end what it has in hand, for a moment, while the workers end theirs."""
        self._stops_until = time.monotonic() + STOP_SECONDS
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """End it when that moment is over; the leases go with the cluster's row."""
        if self._process is not None:
            self._process.join(max(0.0, self._stops_until - time.monotonic()))
            self._process.kill()
            self._process.join()

    def _end_if_stuck(self, process: ForkProcess) -> None:
        if time.monotonic() - self._began > claiming.longest_life_seconds():
            logger.error("cluster=%s event=courier_stopped it took too long", self._cluster.name)
            process.kill()

    def _begin(self) -> None:
        connections.close_all()  # a connection shared over a fork would be used by two
        self._process = multiprocessing.get_context("fork").Process(
            target=_run, args=(self._cluster.pk, self._cluster.name, os.getpid()), name="courier", daemon=True
        )
        self._process.start()
        self._began = time.monotonic()
        logger.info("cluster=%s event=courier_started pid=%s", self._cluster.name, self._process.pid)


def _run(cluster_id: int, cluster: str, leader: int) -> None:
    die_with(leader)
    stop = Stop()
    signal.signal(signal.SIGTERM, stop.ask)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a whole group; the leader ends this in its own time
    try:
        courier.go_round(cluster_id, stopping=stop.asked)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("cluster=%s event=courier_waits %s", cluster, " ".join(str(error).split()))
    except Exception:  # a mistake of ours, logged; the leader starts the next courier
        logger.exception("cluster=%s event=courier_failed", cluster)
    with contextlib.suppress(Exception):
        connections.close_all()
    os._exit(0)  # without waiting for a thread that still waits for a receiver
