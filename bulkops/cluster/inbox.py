"""A worker's task queue and result queue, straight from and to django-q2's table.

`get` claims one message by itself, so nothing is prefetched and nobody shares a lock with another process; it sleeps
on LISTEN and looks by itself every second as a fallback. `put` acknowledges.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import time
from typing import TYPE_CHECKING, Any

import psycopg2
from django.db import DatabaseError, InterfaceError, connection
from django_q.brokers.orm import ORM
from django_q.conf import Conf as QueueConf
from django_q.models import OrmQ
from django_q.monitor import save_task
from django_q.signing import BadSignature, SignedPackage

from bulkops import dispatch
from bulkops.conf import conf
from bulkops.outage import Outage

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("bulkops.cluster")

STOP = "STOP"
DATABASE_AWAY_SECONDS = 0.5

# MATERIALIZED: as a plain sub-select it may run once per outer row, and one call then claims several messages.
_CLAIM = f"""
WITH next AS MATERIALIZED (
    SELECT id FROM {OrmQ._meta.db_table} WHERE key = ANY(%s) AND lock <= clock_timestamp()
    ORDER BY lock, id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE {OrmQ._meta.db_table} q SET lock = clock_timestamp() + %s * interval '1 second'
FROM next WHERE q.id = next.id RETURNING q.id, q.payload
"""  # noqa: S608 - a table's name


class Inbox:
    """What django-q2's `worker()` takes its tasks from."""

    def __init__(self, keys: list[str], stopping: Callable[[], bool]) -> None:
        self.keys = keys
        self.stopping = stopping
        self.leader = os.getppid()
        self._outage = Outage(logger, f"worker={os.getpid()}")
        self._listening_on: Any = None

    def get(self) -> dict[str, Any] | str:
        """The next task, waiting for one; STOP when this process is to end."""
        while not self.stopping() and os.getppid() == self.leader:
            try:
                self._listen()  # before looking, so that no wake-up falls between
                task = self._claim()
                self._outage.over()
                if task is not None:
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
            cursor.execute(_CLAIM, [self.keys, QueueConf.RETRY])
            row = cursor.fetchone()
        if row is None:
            return None
        message_id, payload = row
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
            select.select([driver], [], [], conf().listen_fallback_seconds)
            driver.poll()
        driver.notifies.clear()


class Outbox:
    """What django-q2's `worker()` puts its results into."""

    def put(self, task: dict[str, Any]) -> None:
        """Acknowledge a task; the project's own tasks are stored as django-q2 stores them."""
        if task["func"] != dispatch.ENTRY:
            save_task(task, ORM(list_key=QueueConf.CLUSTER_NAME))
            if not task["success"] and not task.get("ack_failure"):
                return
        dispatch.withdraw([task["ack_id"]])


class Timer:
    """The clock that django-q2's `worker()` sets for a guard; ours watches items, not tasks."""

    value: float = -1

    def get_lock(self) -> contextlib.AbstractContextManager[None]:
        """Nobody else writes it."""
        return contextlib.nullcontext()
