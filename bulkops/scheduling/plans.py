"""What a schedule begins, and the row of django-q2 that keeps it as JSON text."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django_q.models import Schedule, Task

from bulkops import services, storable
from bulkops.conf import conf
from bulkops.exceptions import BulkopsError, InvalidSubmission

if TYPE_CHECKING:
    from django.db.models import QuerySet

RUN = "bulkops.scheduling.run"
"""What the rows name."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")


class UnknownSchedule(BulkopsError):
    """There is no such schedule."""

    code = "unknown-schedule"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no schedule called “{name}”.")


class RunRefused(BulkopsError):
    """A scheduled run could not begin."""

    code = "run-refused"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a schedule begins; stored as JSON text in its row."""

    operation: str
    user: str
    """Its key, as text."""
    params: dict[str, Any] = field(default_factory=dict)
    items: list[Any] | None = None
    limit: int | None = None
    parallelism: int | None = None
    rate_per_second: float | None = None
    job_name: str = ""
    paused: bool = False

    def owner(self) -> Any:
        """The user. Raises RunRefused if they are gone."""
        users = get_user_model()._default_manager
        try:
            found = users.filter(pk=self.user).first()
        except (ValueError, ValidationError):
            found = None
        if found is None:
            raise RunRefused("Its owner does not exist any more.")
        return found

    def submission(self, name: str, user: Any) -> services.Submission:
        """The job it describes, checked. Raises what `services.check` raises."""
        return services.check(
            user=user,
            operation=self.operation,
            params=self.params,
            items=self.items,
            limit=self.limit,
            parallelism=self.parallelism,
            rate_per_second=self.rate_per_second,
            name=self.job_name,
            schedule=name,
        )


def write(row: Schedule, plan: Plan, *changed: str) -> None:
    """Store the row; of one that is there, only what the plan is kept in and the columns named.

    A cluster may be moving its next run on at the same time. Raises InvalidSubmission.
    """
    try:
        text = storable.strict_json(vars(plan))
    except (TypeError, ValueError, RecursionError):
        raise InvalidSubmission("The parameters or items of a schedule must be JSON.") from None
    if len(text) > conf().item_bytes or storable.has_nul(text):
        raise InvalidSubmission(
            f"A schedule's parameters and items are at most {conf().item_bytes:,} characters together, without a NUL."
        )
    # Python's notation of plain texts, which is what django-q2 reads.
    row.kwargs = repr({"spec": text, "q_options": {"ack_failure": True}})
    row.repeats = 0 if plan.paused else -1
    row.save(update_fields=None if row.pk is None else ["kwargs", "repeats", *changed])


def rows() -> QuerySet[Schedule]:
    return Schedule.objects.filter(func=RUN)


def row_of(name: str) -> Schedule:
    row = rows().filter(name=name).order_by("pk").first()
    if row is None:
        raise UnknownSchedule(name)
    return row


def plan_of(row: Schedule) -> Plan:
    """What it begins. Raises RunRefused for a row that somebody has changed by hand."""
    try:
        if ast.literal_eval(row.args) != (row.name,):
            raise ValueError("renamed")  # its task would look for the old name
        return Plan(**json.loads(ast.literal_eval(row.kwargs)["spec"]))
    except (ValueError, SyntaxError, TypeError, KeyError):
        raise RunRefused("Its row cannot be read: define it again.") from None


def readable(row: Schedule) -> Plan | None:
    try:
        return plan_of(row)
    except RunRefused:
        return None


def is_paused(row: Schedule) -> bool:
    plan = readable(row)
    return plan is not None and plan.paused


def failures(names: list[str]) -> QuerySet[Task]:
    return Task.objects.filter(func=RUN, group__in=names, success=False)
