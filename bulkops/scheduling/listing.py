"""Schedules as the faces show them: when next, what became of the last time, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from django.utils import timezone
from django_q.conf import Conf as QueueConf
from django_q.models import Schedule, Task

from bulkops import registry, storable
from bulkops.conf import conf
from bulkops.exceptions import UnknownOperation
from bulkops.models import Job
from bulkops.scheduling.plans import Plan, failures, readable, row_of, rows
from bulkops.states import EventKind

OVERDUE_SECONDS = 300.0
"""A schedule that was due so long ago, and made no task, is a fault."""


@dataclass(frozen=True, kw_only=True)
class Scheduled:
    """One schedule, as the faces show it."""

    name: str
    operation: str
    owner: str
    params: dict[str, Any]
    """Secrets masked."""
    when: str
    """“every 15 min”, or the cron expression with its time zone."""
    next_run: datetime | None
    paused: bool
    last_job: Job | None = None
    skipped: int = 0
    """Runs that were left out because that job was still active."""
    last_error: str = ""
    """Why its latest run could not begin; empty once one did."""
    last_error_at: datetime | None = None

    @property
    def overdue(self) -> bool:
        """Whether it should have made a task long ago."""
        return (
            not self.paused
            and self.next_run is not None
            and self.next_run
            < timezone.now() - timedelta(seconds=max(OVERDUE_SECONDS, 4 * conf().schedules_every_seconds))
        )


def every() -> list[Scheduled]:
    """All schedules by name, each with its last job and what hinders it; four queries."""
    return _shown(list(rows().order_by("name", "pk")))


def find(name: str) -> Scheduled:
    """One of them. Raises UnknownSchedule."""
    return _shown([row_of(name)])[0]


def faults(schedules: list[Scheduled] | None = None) -> list[str]:
    """What is wrong with schedules that are not paused, in words; of these, where somebody has looked already."""
    found = []
    for one in every() if schedules is None else schedules:
        if one.last_error and not one.paused:
            found.append(f"The schedule “{one.name}” could not begin its job: {one.last_error}")
        if one.overdue:
            found.append(
                f"The schedule “{one.name}” was due at {one.next_run:%Y-%m-%d %H:%M} UTC, and nobody began it. Is there"
                " a worker of the queue “default”? Its log names what cannot be read, as event=schedule_failed."
            )
    return found


def _shown(rows: list[Schedule]) -> list[Scheduled]:
    names = [row.name for row in rows]
    newest = Job.objects.filter(schedule__in=names).order_by("schedule", "-created_at").distinct("schedule")
    skipped = Count("events", filter=Q(events__kind=EventKind.RUN_SKIPPED))
    jobs = {job.schedule: job for job in Job.objects.filter(pk__in=newest.values("pk")).annotate(skipped=skipped)}
    failed = {task.group: task for task in failures(names).order_by("stopped")}
    owners = _names_of({plan.user for row in rows if (plan := readable(row))})
    return [_one(row, jobs.get(row.name), failed.get(row.name), owners) for row in rows]


def _names_of(keys: set[str]) -> dict[str, str]:
    """Users' names by their keys as text."""
    users = get_user_model()._default_manager
    try:
        return {str(key): user.get_username() for key, user in users.in_bulk(keys).items()}
    except (ValueError, ValidationError):
        return {}  # a row that somebody has changed by hand


def _one(row: Schedule, job: Any, failure: Task | None, owners: dict[str, str]) -> Scheduled:
    plan = readable(row)
    what: dict[str, Any] = {"operation": "", "owner": "", "params": {}, "last_error": "Its row cannot be read."}
    if plan is not None:
        what = {"operation": plan.operation, "owner": owners.get(plan.user, ""), "params": _shown_params(plan)}
        if failure is not None:
            words = str(failure.result).partition(" : Traceback")[0]
            what |= {"last_error": storable.text(words, conf().message_chars), "last_error_at": failure.stopped}
    cron = row.schedule_type == Schedule.CRON
    return Scheduled(
        name=row.name,
        when=f"{row.cron} ({QueueConf.TIME_ZONE})" if cron else f"every {row.minutes} min",
        next_run=row.next_run,
        paused=row.repeats == 0,
        last_job=job,
        skipped=0 if job is None else job.skipped,
        **what,
    )


def _shown_params(plan: Plan) -> dict[str, Any]:
    try:
        return registry.get(plan.operation).shown_params(plan.params)
    except UnknownOperation:
        return dict.fromkeys(plan.params, "•••")
