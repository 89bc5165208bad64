"""The status resource: one job as programs see it, the same from the shell and over HTTP."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from bulkops import progress, registry
from bulkops.conf import conf
from bulkops.exceptions import UnknownOperation
from bulkops.progress import Progress
from bulkops.states import JobState

if TYPE_CHECKING:
    from datetime import datetime

    from bulkops.estimate import TimeLeft
    from bulkops.models import Job

LONGEST_WAIT_SECONDS = 60.0
"""A program is asked to look again after this at the latest, however long the job still takes."""


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def shown_params(job: Job) -> dict[str, Any]:
    """The job's parameters, secrets masked; all are masked where the operation, which knows the secrets, is gone."""
    try:
        return registry.get(job.operation).shown_params(job.params)
    except UnknownOperation:
        return dict.fromkeys(job.params, "•••")


def _eta(eta: TimeLeft | None) -> dict[str, int] | None:
    return None if eta is None else {"low": math.floor(eta.low), "high": math.ceil(eta.high)}


def wait_seconds(job: Job, figures: Progress) -> float:
    """When it is worth asking for the status of an active job again: not before the job can have ended."""
    if job.state == JobState.PAUSED:
        return conf().poll_paused_seconds
    expected = 0.0 if figures.eta is None else min(figures.eta.low, LONGEST_WAIT_SECONDS)
    return max(conf().poll_seconds, expected)


def resource(job: Job, figures: Progress | None = None, *, base_url: str = "") -> dict[str, Any]:
    """The status resource of a job, as JSON types."""
    now = figures or progress.of(job)
    return {
        "id": str(job.pk),
        "url": f"{base_url}{job.get_absolute_url()}",
        "operation": job.operation,
        "name": job.name,
        "tags": list(job.tags),
        "metadata": job.metadata,
        "owner": job.owner.get_username(),
        "state": job.state,
        "message": job.message,
        "total": now.total,
        "processed": now.processed,
        "succeeded": now.succeeded,
        "failed": now.failed,
        "skipped": now.skipped,
        "deferred": now.deferred,
        "in_doubt": now.in_doubt,
        "percent": now.percent,
        "rate_per_second": None if now.rate_per_second is None else round(now.rate_per_second, 3),
        "rate_limit_per_second": job.rate_per_second,
        "eta_seconds": _eta(now.eta),
        "created_at": _moment(job.created_at),
        "started_at": _moment(job.started_at),
        "finished_at": _moment(job.finished_at),
        "elapsed_seconds": None if now.elapsed_seconds is None else round(now.elapsed_seconds, 3),
        "params": shown_params(job),
        "result": job.result,
        "error": job.error,
        "error_code": job.error_code,
        "cancel_reason": job.cancel_reason,
        "retry_count": job.retry_count,
        "parent": None if job.parent_id is None else str(job.parent_id),
        "schedule": job.schedule or None,
        **progress.allowed(job, now),
        "queue_position": now.queue_position,
        "stalled": now.stalled,
    }
