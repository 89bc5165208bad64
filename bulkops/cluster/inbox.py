"""A worker's task queue and result queue, straight from and to django-q2's table.

`get` claims one message by itself, so nothing is prefetched and nobody shares a lock with another process. It sleeps
until it is notified, the next message becomes due, the process is to stop, or a fallback has passed. `put`
acknowledges.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import select
import time
from typing import TYPE_CHECKING, Any

import psycopg2
from django.db import DatabaseError, InterfaceError, connection
from django_q.brokers.orm import ORM
from django_q.conf import Conf as QueueConf
from django_q.models import OrmQ
from django_q.monitor import save_cached, save_task
from django_q.signals import post_execute
from django_q.signing import BadSignature, SignedPackage
from django_q.utils import get_func_repr

from bulkops import dispatch
from bulkops.conf import conf
from bulkops.engine import hand, sessions
from bulkops.engine.hand import Doing, InHand
from bulkops.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("bulkops.cluster")

STOP = "STOP"
DATABASE_AWAY_SECONDS = 0.5
TASK_GRACE_SECONDS = 3
"""So much longer than its `timeout` a project's task may take, as in django-q2, before its worker is killed."""

# Claims one message; where none is due, says instead in how many seconds the next one will be, in the same round trip.
# One reading of the clock, or a message that becomes due between two of them would be neither due nor still to come.
# MATERIALIZED: as a plain sub-select it may run once per outer row, and one call then claims several messages.
_CLAIM = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now), next AS MATERIALIZED (
    SELECT id FROM {OrmQ._meta.db_table} WHERE key = ANY(%(keys)s) AND lock <= (SELECT now FROM clock)
    ORDER BY lock, id LIMIT 1 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE {OrmQ._meta.db_table} q SET lock = (SELECT now FROM clock) + %(retry)s * interval '1 second'
    FROM next WHERE q.id = next.id RETURNING q.id, q.payload
)
SELECT id, payload, NULL FROM claimed
UNION ALL
SELECT NULL, NULL, (
    SELECT extract(epoch FROM min(lock) - (SELECT now FROM clock))::float8 FROM {OrmQ._meta.db_table}
    WHERE key = ANY(%(keys)s) AND lock > (SELECT now FROM clock)
) WHERE NOT EXISTS (SELECT FROM claimed)
"""  # noqa: S608 - a table's name


class Inbox:
    """What django-q2's `worker()` takes its tasks from."""

    def __init__(self, keys: list[str], stopping: Callable[[], bool], wake: int | None = None) -> None:
        """`wake`: a file descriptor that can be read as soon as the process is to stop."""
        self.keys = keys
        self.stopping = stopping
        self.leader = os.getppid()
        self._wake = [] if wake is None else [wake]
        self._outage = Outage(logger, f"worker={os.getpid()}")
        self._listening_on: Any = None
        self._due_in = 0.0

    def get(self) -> dict[str, Any] | str:
        """The next task, waiting for one; STOP when this process is to end."""
        while not self.stopping() and os.getppid() == self.leader:
            hand.put_down()  # the sign of life of an idle worker
            try:
                self._listen()  # before looking, so that no wake-up falls between
                task = self._claim()
                self._outage.over()
                if task is not None:
                    _announce(task)
                    return task
                self._wait()
            except (DatabaseError, InterfaceError, psycopg2.Error, OSError) as error:
                self._outage.met(error)
                with contextlib.suppress(Exception):
                    connection.close()
                time.sleep(DATABASE_AWAY_SECONDS)
        return STOP

    def _claim(self) -> dict[str, Any] | None:
        with connection.cursor() as cursor:
            cursor.execute(_CLAIM, {"keys": self.keys, "retry": QueueConf.RETRY})
            message_id, payload, due_in = cursor.fetchone()
        if message_id is None:
            self._due_in = math.inf if due_in is None else due_in
            return None
        self._due_in = 0.0  # there may be more
        try:
            task = SignedPackage.loads(payload)
        except (BadSignature, TypeError, ImportError, AttributeError) as error:
            # Signed with another key, or naming code that is gone; a turn's message is sent again by rescue.
            logger.error("event=message_unreadable message=%s %s", message_id, type(error).__name__)
            dispatch.withdraw([message_id])
            return None
        task["ack_id"] = message_id
        return task

    def _listen(self) -> None:
        connection.ensure_connection()
        if self._listening_on is connection.connection:
            return
        with connection.cursor() as cursor:
            for key in self.keys:
                cursor.execute(f'LISTEN "{dispatch.channel(key)}"')
        self._listening_on = connection.connection

    def _wait(self) -> None:
        driver = connection.connection
        if not driver.notifies:
            select.select([driver, *self._wake], [], [], min(self._due_in, conf().listen_fallback_seconds))
            driver.poll()
        driver.notifies.clear()


def _announce(task: dict[str, Any]) -> None:
    """Tell leader and database what kind of task begins: a turn, or one of the project's own, which may take long."""
    is_turn = task["func"] == dispatch.ENTRY
    sessions.limit_idleness(wanted=is_turn)
    if not is_turn:
        timeout = task.get("timeout") or 0
        hand.note(InHand(doing=Doing.TASK, limit_seconds=timeout + TASK_GRACE_SECONDS if timeout > 0 else 0))


class Outbox:
    """What django-q2's `worker()` puts its results into."""

    def put(self, task: dict[str, Any]) -> None:
        """Acknowledge a task; with the project's own tasks, do all that django-q2's monitor does."""
        if task["func"] == dispatch.ENTRY:
            dispatch.withdraw([task["ack_id"]])
            return
        save = save_cached if task.get("cached") else save_task
        save(task, ORM(list_key=QueueConf.CLUSTER_NAME))
        if task["success"] or task.get("ack_failure"):
            dispatch.withdraw([task["ack_id"]])
        name = get_func_repr(task["func"])
        if not task["success"]:
            logger.error("task=%s func=%s event=task_failed %s", task["name"], name, task["result"])
        for receiver, answer in post_execute.send_robust(sender="django_q", task=task):
            if isinstance(answer, Exception):
                logger.error("task=%s event=receiver_failed %r", task["name"], receiver, exc_info=answer)


class Timer:
    """The clock that django-q2's `worker()` sets for a guard; ours watches items, not tasks."""

    value: float = -1

    def get_lock(self) -> contextlib.AbstractContextManager[None]:
        """Nobody else writes it."""
        return contextlib.nullcontext()
