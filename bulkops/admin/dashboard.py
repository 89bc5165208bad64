"""The operators' dashboard: why nothing moves, who works, what waits, what runs. The figures are diagnosis.py's.

One look costs a fixed number of queries, however many jobs there are and whatever their size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import F
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext

from bulkops import progress, scheduling
from bulkops.admin import cells
from bulkops.diagnosis import diagnose
from bulkops.models import Job
from bulkops.states import JobState
from bulkops.webhooks import news

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest, HttpResponse

    from bulkops.diagnosis import Diagnosis
    from bulkops.scheduling import Scheduled
    from bulkops.webhooks.news import WebhookNews

SECONDS = 3
"""How often the page asks again."""
SHOWN = 30
"""Active jobs that it lists."""


@dataclass(frozen=True)
class Row:
    """One active job in its table."""

    job: Job
    state: str
    done: str
    links: str


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """Everything at one moment."""

    diagnosis: Diagnosis
    schedules: list[Scheduled]
    webhooks: WebhookNews
    rows: list[Row]
    per_second: float
    """Items that the listed jobs get done together, each at its rate of late."""
    at: datetime

    @classmethod
    def now(cls) -> Dashboard:
        """Look at it all. Those that were begun first stand first; what waits for its first worker comes last."""
        diagnosis, schedules = diagnose(), scheduling.every()
        diagnosis.faults += scheduling.faults(schedules)
        jobs = list(
            Job.objects.active()
            .select_related("owner")
            .order_by(F("started_at").asc(nulls_last=True), "created_at", "pk")[:SHOWN]
        )
        figures = progress.of_many(jobs)
        for job in jobs:
            job.figures = figures[job.pk]
        running = [figures[job.pk].rate_per_second or 0.0 for job in jobs if job.state == JobState.RUNNING]
        return cls(
            diagnosis=diagnosis,
            schedules=schedules,
            webhooks=news.now(),
            rows=[Row(job, cells.state(job), cells.done(job), cells.links(job)) for job in jobs],
            per_second=sum(running),
            at=timezone.now(),
        )

    @property
    def active(self) -> int:
        return sum(self.diagnosis.jobs.values())

    @property
    def more(self) -> int:
        """Active jobs beyond those listed."""
        return max(0, self.active - len(self.rows))

    @property
    def workers(self) -> int:
        return sum(one.workers for one in self.diagnosis.clusters if one.alive)

    @property
    def busy(self) -> int:
        return sum(one.busy for one in self.diagnosis.clusters if one.alive)


def page(request: HttpRequest, model_admin: ModelAdmin) -> HttpResponse:
    """The page, or for htmx its moving part; `?hold` keeps it as it is, for somebody who reads or copies."""
    hold = "hold" in request.GET
    context = {"board": Dashboard.now(), "seconds": SECONDS, "hold": hold}
    if request.headers.get("HX-Request"):
        return render(request, "bulkops/admin/_dashboard.html", context)
    context |= model_admin.admin_site.each_context(request)
    context |= {"title": gettext("Bulk operations now"), "opts": model_admin.opts}
    return render(request, "bulkops/admin/dashboard.html", context)
