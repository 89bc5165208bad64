"""Puts turns into django-q2's queue, and takes their messages out again; the only import of its enqueueing.

A message only wakes a worker: it names a job, a turn and the turn's `seq`, and is inert unless they match. It is
inserted in the caller's transaction, so it exists if and only if what it announces exists. The project's own tasks
come through django-q2's `async_task`; importing this module has them wake the workers as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.models.signals import post_save
from django.dispatch import receiver
from django_q.brokers.orm import ORM
from django_q.conf import Conf as QueueConf
from django_q.models import OrmQ
from django_q.tasks import async_task

from bulkops.clock import ClockTimestamp, from_now
from bulkops.conf import conf
from bulkops.models import Turn

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from bulkops.models import Job

ENTRY = "bulkops.engine.entry.run_slice"
MESSAGES = OrmQ._meta.db_table
"""The table of messages: for statements that take one out together with something else."""


def queue_keys(queues: list[str]) -> list[str]:
    """What django-q2 calls these queues; “default” also carries the project's own tasks."""
    keys = [f"bulkops:{queue}" for queue in queues]
    return [*keys, QueueConf.CLUSTER_NAME] if "default" in queues else keys


def channel(key: str) -> str:
    """The NOTIFY channel of a queue; PostgreSQL allows 63 bytes. Two queues that share one only wake each other."""
    return re.sub(r"[^a-z0-9_]", "_", f"bulkops_{key.lower()}")[:63]


class _TurnBroker(ORM):
    """Inserts by the database's clock, remembers the row, and notifies sleeping workers when the caller commits."""

    def __init__(self, list_key: str, delay_seconds: float) -> None:
        super().__init__(list_key=list_key)
        self.delay_seconds = delay_seconds
        self.row_id: int | None = None

    def enqueue(self, task: str) -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {MESSAGES} (key, payload, lock)"  # noqa: S608 - a table's name
                " VALUES (%s, %s, clock_timestamp() + %s * interval '1 second')"
                " RETURNING id, pg_notify(%s, '')",
                [self.list_key, task, self.delay_seconds, channel(self.list_key)],
            )
            self.row_id = cursor.fetchone()[0]
        return self.row_id


def send(job: Job, turn: Turn, *, delay_seconds: float = 0.0, first: bool = False) -> None:
    """Queue a turn with its present `seq`, free of any holder. Caller holds the job's lock.

    A job's first slice is put ahead of further slices that have waited for less than the head start. One slice, of one
    turn, and not once more after an item was begun: neither many turns nor a pause overtakes anybody.
    """
    ahead = first and turn.number == 0 and job.started_at is None
    head_start = conf().first_slice_head_start_seconds if ahead else 0.0
    broker = _TurnBroker(f"bulkops:{job.queue}", delay_seconds - head_start)
    async_task(ENTRY, str(job.pk), turn.number, turn.seq, broker=broker, task_name=f"{job.pk}/{turn.number}")
    turn.message_id = broker.row_id
    turn.holder = turn.worker = None
    Turn.objects.filter(pk=turn.pk).update(
        seq=turn.seq, due=from_now(delay_seconds), message_id=turn.message_id, holder=None, worker=None
    )


@receiver(post_save, sender=OrmQ)
def _wake(*, instance: OrmQ, created: bool, using: str, **_: Any) -> None:
    """Notify sleeping workers of the project's own tasks too, in the caller's transaction."""
    if created and using == DEFAULT_DB_ALIAS:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, '')", [channel(instance.key)])


def send_task(path: str, *args: str, delay_seconds: float = 0.0, group: str = "") -> None:
    """Queue a function of ours that is no turn, by its dotted path, behind all that waits in the queue “default”."""
    broker = _TurnBroker(QueueConf.CLUSTER_NAME, delay_seconds)
    async_task(path, *args, broker=broker, task_name=path, ack_failure=True, group=group or None)


def waiting_messages() -> QuerySet[OrmQ]:
    """Messages that no worker has claimed: a claimed one is locked into the future until it is acknowledged."""
    return OrmQ.objects.filter(lock__lte=ClockTimestamp())


def anything_waits(queues: list[str]) -> bool:
    """Whether a message of these queues is due and no worker has claimed it."""
    return waiting_messages().filter(key__in=queue_keys(queues)).exists()


def withdraw(message_ids: list[int]) -> None:
    """Delete messages that have become stale; one that is already running is inert by its `seq`."""
    if message_ids:
        with connection.cursor() as cursor:  # the ORM would make it a transaction of three round trips
            cursor.execute(f"DELETE FROM {MESSAGES} WHERE id = ANY(%s)", [message_ids])  # noqa: S608 - a table's name
