"""Runs django-q2's schedules: makes tasks of those that are due, which the workers then run.

A process of its own does it, for some milliseconds every now and then: whatever a schedule, its table or its cron
library does, the leader goes on renewing its row. django-q2 locks the row of a schedule and queues its task in the same
transaction, so of several clusters that come at the same time one makes the task.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import django_q.scheduler
from django.db import DatabaseError, InterfaceError, connections
from django.db.models import Q
from django.utils import timezone
from django_q.conf import Conf as QueueConf
from django_q.models import Schedule
from django_q.scheduler import scheduler

from bulkops.cluster.process import die_with
from bulkops.conf import conf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import ForkProcess

    from django.db.models import QuerySet

logger = logging.getLogger("bulkops.cluster")

LONGEST_SECONDS = 30.0
"""One pass over all schedules; after this its process is killed, and what was not committed is for the next."""


class Schedules:
    """A leader's; `look` never waits for anything."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._process: ForkProcess | None = None
        self._began = 0.0

    def look(self) -> None:
        """Begin a pass when it is time for one, and end one that takes too long."""
        now = time.monotonic()
        if self._process is not None:
            if self._process.is_alive():
                if now - self._began > LONGEST_SECONDS:
                    logger.error("cluster=%s event=schedules_stopped a pass took too long", self._cluster)
                    self._process.kill()
                return
            self._process = None
        if QueueConf.SCHEDULER and (not self._began or now - self._began >= conf().schedules_every_seconds):
            self._began = now
            self._begin()

    def stop(self) -> None:
        """End a pass that is under way; what it has not committed is done by another cluster, or after the start."""
        if self._process is not None:
            self._process.kill()
            self._process.join()

    def _begin(self) -> None:
        connections.close_all()  # a connection shared over a fork would be used by two
        self._process = multiprocessing.get_context("fork").Process(
            target=_run, args=(self._cluster, os.getpid()), name="schedules", daemon=True
        )
        self._process.start()


def _run(cluster: str, leader: int) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # of a whole group; the leader ends this in its own time
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with(leader)
    try:
        fire_due()
    except (DatabaseError, InterfaceError) as error:
        logger.warning("cluster=%s event=schedules_wait %s", cluster, " ".join(str(error).split()))
    except Exception:  # a mistake in somebody's schedule: logged, and the next pass tries again
        logger.exception("cluster=%s event=schedules_failed", cluster)


def fire_due() -> None:
    """Make tasks of the schedules that are due, each in a transaction of its own.

    In any order: one at which this process has to be killed holds up the others only at times.
    """
    due = list(_due())
    random.shuffle(due)
    for schedule in due:
        with _alone(schedule):
            scheduler()
        if _due().filter(pk=schedule.pk, next_run=schedule.next_run, repeats=schedule.repeats).exists():
            logger.error("schedule=%s func=%s event=schedule_failed", schedule.name or schedule.pk, schedule.func)


def _due() -> QuerySet[Schedule]:
    mine = Q(cluster=QueueConf.CLUSTER_NAME)
    if QueueConf.CLUSTER_NAME == QueueConf.PREFIX:
        mine |= Q(cluster__isnull=True)
    return Schedule.objects.filter(mine, next_run__lt=timezone.now()).exclude(repeats=0)


@contextmanager
def _alone(schedule: Schedule) -> Iterator[None]:
    """Let django-q2's `scheduler` see this schedule only.

    It handles all that are due in one transaction and swallows every error, so one that cannot be read, by a cron
    expression say, would keep all others from running for ever.
    """
    only = type("OnlySchedule", (), {"_meta": Schedule._meta, "objects": Schedule.objects.filter(pk=schedule.pk)})
    django_q.scheduler.Schedule = only
    try:
        yield
    finally:
        django_q.scheduler.Schedule = Schedule
