"""What a webhook says: its type, its moment, and of the job what anybody may know who may see its progress.

No parameters, no results, no error's text: those may hold what a receiver is not to read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db.models import Sum
from django.urls import NoReverseMatch
from django.utils import timezone

from bulkops.conf import conf

if TYPE_CHECKING:
    from datetime import datetime

    from bulkops.models import Job
    from bulkops.webhooks.models import Endpoint

_COUNTS = ("succeeded", "failed", "skipped", "in_doubt", "deferred")


def of_job(event: str, job: Job) -> str:
    """The body of an event of a job: one query. Counts are those of the caller's transaction."""
    counts = job.chunks.aggregate(**{name: Sum(name, default=0) for name in _COUNTS})
    data = {
        "id": str(job.pk),
        "url": link_to(job),
        "operation": job.operation,
        "name": job.name,
        "state": str(job.state),
        "total": job.total,
        "processed": sum(counts.values()) - counts["deferred"],
        **counts,
        "created_at": _moment(job.created_at),
        "started_at": _moment(job.started_at),
        "finished_at": _moment(job.finished_at),
    }
    return _body(event, data)


def of_test(event: str, endpoint: Endpoint) -> str:
    """The body of a test."""
    return _body(event, {"endpoint": str(endpoint.pk), "message": "This is a test."})


def of_disabling(event: str, endpoint: Endpoint, reason: str) -> str:
    """The body of the e-mail that says so."""
    return _body(event, {"endpoint": str(endpoint.pk), "url": endpoint.url, "reason": reason})


def link_to(job: Job) -> str:
    """The address of the job's page: only its path without the setting `base_url`, nothing where there are no pages."""
    try:
        return conf().base_url.rstrip("/") + job.get_absolute_url()
    except NoReverseMatch:
        return ""


def _body(event: str, data: dict[str, Any]) -> str:
    said = {"type": str(event), "timestamp": _moment(timezone.now()), "data": data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
