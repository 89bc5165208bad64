"""How a started job is answered: 202 with a status for programs, the job's page for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from django.http import JsonResponse
from django.shortcuts import redirect
from django_htmx.http import HttpResponseClientRedirect

from bulkops import progress, status
from bulkops.web.guards import is_htmx

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from bulkops.models import Job


def accepted(job: Job, request: HttpRequest) -> HttpResponse:
    """The answer of a view that has just submitted a job.

    People, that is requests whose Accept names HTML (or that htmx made), are taken to the job's page. Programs get 202
    with `Location`, `Retry-After` and the status resource; a bare `*/*`, as curl sends it, is a program's.
    """
    if is_htmx(request) or request.get_preferred_type(["application/json", "text/html"]) == "text/html":
        return to_job(job, request)
    return status_of(job, request, status_code=202)


def to_job(job: Job, request: HttpRequest) -> HttpResponse:
    """Take a person to the job's page; htmx would follow a plain redirect out of sight."""
    if is_htmx(request):
        return HttpResponseClientRedirect(job.get_absolute_url())
    return redirect(job)


def status_of(job: Job, request: HttpRequest, *, status_code: int = 200) -> HttpResponse:
    """The status resource; while the job is active, with the moment at which asking again is worth it."""
    base_url = request.build_absolute_uri("/").rstrip("/")
    now = progress.of(job)
    response = JsonResponse(status.resource(job, now, base_url=base_url), status=status_code)
    if status_code == 202:
        response["Location"] = f"{base_url}{job.get_absolute_url()}"
    if job.is_active:
        response["Retry-After"] = str(max(1, math.ceil(status.wait_seconds(job, now))))
    response["Cache-Control"] = "no-store"
    return response
