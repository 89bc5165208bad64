"""Making, changing and controlling schedules: one row each, whoever defines it how often."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, connection, transaction
from django.utils import timezone
from django_q.models import Schedule

from bulkops import registry
from bulkops.exceptions import InvalidSubmission, SubmissionBusy
from bulkops.outage import is_lock_timeout
from bulkops.scheduling.listing import Scheduled, find
from bulkops.scheduling.plans import (
    NAME,
    RUN,
    Plan,
    UnknownSchedule,
    failures,
    is_paused,
    plan_of,
    row_of,
    rows,
    write,
)
from bulkops.services.locking import bounded_wait

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_MINUTES = 32_767
"""django-q2's smallint, 22 days."""

# Two deploys that define the same schedule at once must make one row, and there is no row yet that they could lock. Who
# changes it otherwise writes the whole plan too, and so must not have read one that somebody is about to replace.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('bulkops schedule ' || %s, 0))"


def schedule(
    *,
    name: str,
    operation: str,
    user: Any,
    every: timedelta | None = None,
    cron: str | None = None,
    params: dict[str, Any] | None = None,
    items: Iterable[Any] | None = None,
    limit: int | None = None,
    parallelism: int | None = None,
    rate_per_second: float | None = None,
    job_name: str = "",
    starts_at: datetime | None = None,
) -> Scheduled:
    """Begin the operation regularly, as that user: make the schedule of that name, or change it.

    Call it as often as you like: while its times stay the same, its next run stays, and a paused one stays paused.
    `every` is in whole minutes, its first run one such time from now, or at `starts_at` while that is to come. `cron`
    has five fields, in the time zone of django-q2 (`Q_CLUSTER["time_zone"]`, else `TIME_ZONE`).

    One transaction, in which others that define the same name wait. Raises InvalidSubmission, SubmissionBusy, and what
    `submit` raises for a job that could not be begun now.
    """
    if not NAME.fullmatch(name):
        raise InvalidSubmission(
            "A schedule's name is at most 80 letters, digits, dots, hyphens and underscores, a letter or digit first."
        )
    times = _times(every, cron)
    if starts_at is not None and (every is None or timezone.is_naive(starts_at)):
        raise InvalidSubmission("`starts_at` goes with `every`, and needs a time zone.")
    plan = Plan(
        operation=operation,
        user=str(user.pk),
        params=_without_secrets(operation, params or {}),
        items=None if items is None else list(items),
        limit=limit,
        parallelism=parallelism,
        rate_per_second=rate_per_second,
        job_name=job_name,
    )
    plan.submission(name, user)
    with _alone(name):
        _define(name, plan, times, starts_at)
    return find(name)


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """A transaction in which nobody else changes the schedule of that name. Raises SubmissionBusy."""
    try:
        with transaction.atomic():
            with bounded_wait(), connection.cursor() as cursor:
                cursor.execute(_ONE_AT_A_TIME, [name])
            yield
    except OperationalError as error:
        if not is_lock_timeout(error):
            raise
        raise SubmissionBusy from None


def _define(name: str, plan: Plan, times: dict[str, Any], starts_at: datetime | None) -> None:
    known = rows().filter(name=name).order_by("pk").first()
    row = known or Schedule(name=name, func=RUN, intended_date_kwarg="planned")
    row.args = repr((name,))
    later = starts_at is not None and starts_at > timezone.now()
    changed = ["args"]
    if known is None or later or any(getattr(row, key) != at for key, at in times.items()):
        vars(row).update(times)
        row.next_run = starts_at if later else _next_time(row)
        changed += [*times, "next_run"]
    write(row, replace(plan, paused=known is not None and is_paused(known)), *changed)


def _times(every: timedelta | None, cron: str | None) -> dict[str, Any]:
    """The columns that say when. Raises InvalidSubmission."""
    if (every is None) == (cron is None):
        raise InvalidSubmission("A schedule needs either `every` or `cron`.")
    if every is not None:
        minutes, rest = divmod(every, timedelta(minutes=1))
        if rest or not 1 <= minutes <= LONGEST_MINUTES:
            raise InvalidSubmission("`every` must be whole minutes, from one minute to 22 days; beyond that, use cron.")
        return {"schedule_type": Schedule.MINUTES, "minutes": minutes, "cron": None}
    return {"schedule_type": Schedule.CRON, "minutes": None, "cron": _cron(str(cron))}


def _cron(given: str) -> str:
    """The expression, five fields apart by one blank. Raises InvalidSubmission."""
    try:
        from croniter import croniter  # which a project without cron expressions need not have
    except ImportError:
        raise InvalidSubmission("Cron expressions need the package croniter.") from None
    text = " ".join(given.split())
    if len(text) > 100 or (not text.startswith("@") and len(text.split()) != 5):
        raise InvalidSubmission(f"A cron expression has five fields, such as “0 3 * * *”, not “{text[:100]}”.")
    try:
        croniter(text, timezone.now()).get_next(datetime)
    except ValueError as error:
        raise InvalidSubmission(f"“{text}” is no cron expression that comes round: {error}") from None
    return text


def _without_secrets(operation: str, params: dict[str, Any]) -> dict[str, Any]:
    """The parameters. Raises InvalidSubmission for secrets: django-q2's row and its admin show what is in it."""
    given = [name for name in registry.get(operation).secret if params.get(name) not in (None, "")]
    if given:
        raise InvalidSubmission(f"A schedule cannot keep secrets: {', '.join(given)}.")
    return params


def _next_time(row: Schedule) -> datetime:
    """The first of its times that is still to come."""
    now = timezone.now()
    if row.schedule_type == Schedule.CRON:
        return row.calculate_next_run()
    step = timedelta(minutes=row.minutes or 1)
    last = row.next_run if row.pk is not None and row.next_run is not None else now
    return last + step * max(1, (now - last) // step + 1) if last <= now else min(last, now + step)


def unschedule(name: str) -> None:
    """Delete the schedule; its jobs stay, and one that is active goes on. Raises UnknownSchedule, SubmissionBusy."""
    with _alone(name):
        if not rows().filter(name=name).delete()[0]:
            raise UnknownSchedule(name)
        failures([name]).delete()


def pause(name: str) -> Scheduled:
    """Begin no more runs until it is resumed.

    Raises UnknownSchedule, SubmissionBusy, and RunRefused for a row that cannot be read.
    """
    with _alone(name):
        row = row_of(name)
        write(row, replace(plan_of(row), paused=True))
    return find(name)


def resume(name: str) -> Scheduled:
    """Go on with the first of its times that is still to come. Raises as `pause` does."""
    with _alone(name):
        row = row_of(name)
        row.next_run = _next_time(row)
        write(row, replace(plan_of(row), paused=False), "next_run")
    return find(name)
