"""Which jobs a page may show: always through what its user may see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.shortcuts import get_object_or_404

from bulkops import transitions
from bulkops.models import IdempotencyKey, Job

if TYPE_CHECKING:
    from uuid import UUID

HISTORY = 20
"""Jobs in the list of the first page."""


def visible_job(user: Any, pk: UUID) -> Job:
    """The job, if this user may see it; otherwise 404, as if there were none."""
    jobs = Job.objects.select_related("owner")
    # One's own job needs no look at one's rights: that saves two queries in each poll.
    return jobs.filter(owner=user, pk=pk).first() or get_object_or_404(jobs.visible_to(user), pk=pk)


def active_job(user: Any) -> Job | None:
    """The job that keeps this user from starting another."""
    return Job.objects.select_related("owner").filter(slot=transitions.user_slot(user)).first()


def job_of_key(user: Any, key: str) -> Job | None:
    """The job that a form's one-time key of this user made."""
    return Job.objects.filter(pk__in=IdempotencyKey.objects.filter(user=user, key=key).values("job")).first()


def last_runs(user: Any, operations: list[str]) -> dict[str, Job]:
    """The newest job that this user started of each of these operations, those of schedules aside. One query.

    It reads all jobs of the user's, narrowly: 30,000 of them need no index of their own for that.
    """
    mine = Job.objects.filter(owner=user, operation__in=operations, schedule="")
    mine = mine.only("operation", "state", "total", "created_at")
    return {job.operation: job for job in mine.order_by("operation", "-created_at").distinct("operation")}


def newest_jobs(user: Any) -> list[Job]:
    """The user's own latest jobs, but for the active one, which has a card of its own."""
    mine = Job.objects.select_related("owner").filter(owner=user).exclude(slot=transitions.user_slot(user))
    return list(mine[:HISTORY])
