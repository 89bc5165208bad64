"""What htmx asks for in the admin: who may ask, and the moving cells of the jobs that a page shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from bulkops import progress
from bulkops.admin import cells
from bulkops.models import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

MOST = 100
"""Jobs of one list: their ids travel in an address, and servers take no line longer than 4,094 characters."""


def asked_of(model_admin: ModelAdmin, view: Callable[[HttpRequest, ModelAdmin], HttpResponseBase]) -> Any:
    """A view of the admin for those who may view its rows. Of a session that has ended, the whole tab is told.

    htmx follows a redirect, and would put the log-in page where a bar was.
    """

    def permitted(request: HttpRequest) -> HttpResponseBase:
        if not model_admin.has_view_permission(request):
            raise PermissionDenied
        return view(request, model_admin)

    guarded = model_admin.admin_site.admin_view(permitted)

    def answer(request: HttpRequest) -> HttpResponseBase:
        if HtmxDetails(request) and not model_admin.admin_site.has_permission(request):
            return HttpResponseClientRedirect(f"{reverse('admin:login')}?{urlencode({'next': _tab_of(request)})}")
        return guarded(request)

    return answer


def _tab_of(request: HttpRequest) -> str:
    try:
        return HtmxDetails(request).current_url_abs_path or reverse("admin:index")
    except ValueError:  # no address at all, such as http://[
        return reverse("admin:index")


def address(jobs: Iterable[Job]) -> str:
    """Where the active ones of these jobs are asked for; empty where none is."""
    active = ",".join(job.pk.hex for job in jobs if job.is_active)
    return f"{reverse('admin:bulkops_job_live')}?jobs={active}" if active else ""


def cells_of_jobs(request: HttpRequest, _model_admin: ModelAdmin) -> HttpResponseBase:
    """State, bar and counts of the jobs named in the address, and the address to ask at next; constant queries."""
    jobs = list(Job.objects.filter(pk__in=_keys(request.GET.get("jobs", ""))))
    figures = progress.of_many(jobs)
    drawn = []
    for job in jobs:
        job.figures = figures[job.pk]
        drawn += [draw(job, cells.OUT_OF_BAND) for draw in (cells.state, cells.done)]
    return render(request, "bulkops/admin/_live.html", {"live": address(jobs), "cells": drawn})


def _keys(text: str) -> list[UUID]:
    """The ids in it; what is none is left out."""
    found = []
    for word in text.split(",")[:MOST]:
        try:
            found.append(UUID(word))
        except ValueError:
            continue
    return found
