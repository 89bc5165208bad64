"""The status resource over HTTP: its addresses, its ETag, and when it is worth asking again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from django.urls import reverse
from rest_framework.response import Response

from bulkops import permissions, progress, snapshots, status
from bulkops.api.base import seconds_header
from bulkops.api.problems import Problem
from bulkops.models import Job

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request

    from bulkops.progress import Progress

MOVING = frozenset({"elapsed_seconds", "rate_per_second", "eta_seconds"})
"""Fields that change with the clock alone, which is no news: the ETag is a weak one."""
LONGEST_WAIT_SECONDS = 3600
"""Of somebody who wants to begin another job."""


def url_of(request: Request, job: Job | UUID) -> str:
    """The job's address in the API."""
    return request.build_absolute_uri(reverse("bulkops-api:job", args=[getattr(job, "pk", job)]))


def resource(request: Request, job: Job, figures: Progress | None = None) -> dict[str, Any]:
    """The status resource as JSON types."""
    return status.resource(job, figures) | {"url": url_of(request, job)}


def seen(request: Request, pk: UUID) -> tuple[Job, Progress]:
    """The job with its figures, if this user may see it; one query for one's own. Raises a problem."""
    found = snapshots.of(pk)
    if found is None or not permissions.may_see(request.user, found[0]):
        raise Problem("not-found", "There is no such job, or none that you may see.")
    return found


def seen_job(request: Request, pk: UUID) -> Job:
    """The job alone."""
    job = Job.objects.select_related("owner").filter(pk=pk).first()
    if job is None or not permissions.may_see(request.user, job):
        raise Problem("not-found", "There is no such job, or none that you may see.")
    return job


def controlled_job(request: Request, pk: UUID) -> Job:
    """The job, for somebody who may control it; told before what they sent is looked at. Raises a problem."""
    job = seen_job(request, pk)
    if not permissions.may_control(request.user, job):
        raise Problem("permission-denied", "You may not control this job.")
    return job


def etag(body: dict[str, Any]) -> str:
    """Weak: the same as long as there is no news."""
    told = {name: value for name, value in body.items() if name not in MOVING}
    text = json.dumps(told, sort_keys=True, default=str)
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def answer(
    request: Request, job: Job, figures: Progress | None = None, *, code: int = 200, location: bool = False
) -> Response:
    """The status resource as an answer."""
    now = figures or progress.of(job)
    body = resource(request, job, now)
    sent = Response(body, status=code)
    sent["ETag"] = etag(body)
    if location:
        sent["Location"] = body["url"]
    if job.is_active:
        sent["Retry-After"] = seconds_header(status.wait_seconds(job, now))
    return sent


def is_known(request: Request, tag: str) -> bool:
    """Whether the caller has this already (If-None-Match, by weak comparison)."""
    wanted = request.headers.get("If-None-Match", "")
    opaque = tag.removeprefix("W/")
    return wanted.strip() == "*" or opaque in {one.strip().removeprefix("W/") for one in wanted.split(",")}


def active_job(request: Request, job: Job) -> Problem:
    """The refusal of a second job: which runs, and when it will about have ended."""
    found = snapshots.of(job.pk)
    fresh, figures = found or (job, progress.of(job))
    seconds = status.wait_seconds(fresh, figures)
    if figures.eta is not None:
        seconds = min(max(seconds, figures.eta.high), LONGEST_WAIT_SECONDS)
    detail = "You have an active job; wait until it has ended, or cancel it."
    return Problem("active-job-exists", detail, retry_after=seconds, active_job=resource(request, fresh, figures))
