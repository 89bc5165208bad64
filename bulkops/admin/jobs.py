"""The list of jobs with live bars, filters and actions, and one job with its trail and its kin."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from bulkops import progress, status, wording
from bulkops.admin import cells, dashboard, live
from bulkops.admin.actions import JobActions
from bulkops.admin.reading import ReadOnlyAdmin, ReadOnlyChangeList, clock, moment
from bulkops.admin.tables import table
from bulkops.models import Chunk, Event, Job, Outcome
from bulkops.states import JobState, OutcomeState

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

EVENTS_SHOWN = 50
FAILED_SHOWN = 20
_MAY_BE_EMPTY = {
    "shown_params": "params",
    "shown_metadata": "metadata",
    "shown_result": "result",
    "started": "started_at",
    "finished": "finished_at",
} | {
    name: name
    for name in ("name", "schedule", "message", "input_name", "limit", "tags", "error", "error_code", "cancel_reason")
}
"""Fields of a job's page, and where what they show stands."""


class JobChangeList(ReadOnlyChangeList):
    """Finds the figures and the kin of all the page's jobs at once."""

    live = ""
    """The address that tells how the page's active jobs go on; empty where there is none."""

    def get_results(self, request: HttpRequest) -> None:
        """The page's jobs, each with its figures and its children."""
        super().get_results(request)
        if self.query:
            self.date_hierarchy = None  # it would read all jobs twice more, to offer what words have narrowed already
        elif not self.get_filters_params():
            self.full_result_count = self.result_count  # these are all, and nothing else is to be shown
        jobs = list(self.result_list)
        figures = progress.of_many(jobs)
        children = defaultdict(list)
        for child in Job.objects.filter(parent__in=jobs).order_by("created_at"):
            children[child.parent_id].append(child)
        for job in jobs:
            job.figures, job.kin = figures[job.pk], children[job.pk]
        self.result_list = jobs
        self.live = live.address(jobs)


@admin.register(Job)
class JobAdmin(JobActions, ReadOnlyAdmin):
    """The list of jobs, one job, and the dashboard, which are for holders of `bulkops.view_job`."""

    list_display = ("title", "done", "condition", "owner", "created", "links")
    list_filter = ("state", "operation", "created_at", ("owner", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("owner", "parent")
    list_per_page = 30  # more would take longer than a tenth of a second to be made
    list_max_show_all = live.MOST
    # Counting every job there ever was only to say “of 123456” would cost more than the page itself.
    show_full_result_count = False
    # Names the box; what is searched is `JobQuerySet.found`.
    search_fields = ("name",)
    search_help_text = _("Name, id, operation, owner, input file or tag")
    date_hierarchy = "created_at"
    change_list_template = "bulkops/admin/job_list.html"
    change_form_template = "bulkops/admin/job_change.html"
    fieldsets = (
        (
            None,
            {"fields": ("id", "operation", "name", "owner", "schedule", "condition", "done", "message", "links")},
        ),
        (
            _("Input"),
            {"fields": ("input_name", "shown_params", "total", "limit", "parallelism", "tags", "shown_metadata")},
        ),
        (_("Times"), {"fields": ("created", "started", "finished")}),
        (_("End"), {"fields": ("error", "error_code", "cancel_reason", "shown_result")}),
        (_("Work"), {"fields": ("queue", "chunks", "failed_items", "events")}),
    )

    def has_view_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """As everywhere: `bulkops.view_job`, or `bulkops.change_job`; here not even owners without them."""
        user = request.user
        return user.has_perm("bulkops.view_job") or user.has_perm("bulkops.change_job")

    def get_urls(self) -> list[URLPattern]:
        """The dashboard and what htmx asks for, before Django's own, which take any other word for a job's id."""
        return [
            path("dashboard/", live.asked_of(self, dashboard.page), name="bulkops_job_dashboard"),
            path("live/", live.asked_of(self, live.cells_of_jobs), name="bulkops_job_live"),
            *super().get_urls(),
        ]

    def get_fieldsets(self, request: HttpRequest, obj: Job | None = None) -> list[Any]:
        """What the job has; a row for each thing that it has not would only make the page long."""
        empty = {name for name, field in _MAY_BE_EMPTY.items() if getattr(obj, field) in (None, "", [], {})}
        kept = ((title, [one for one in options["fields"] if one not in empty]) for title, options in self.fieldsets)
        return [(title, {"fields": fields}) for title, fields in kept if fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Job | None = None) -> list[str]:
        """All of them."""
        return [str(name) for _, options in self.fieldsets for name in options["fields"]]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """See JobChangeList."""
        return JobChangeList

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        """One job's page, with the address that tells how it goes on."""
        job = kwargs.get("obj")
        context["live"] = live.address([job] if job is not None else [])
        return super().render_change_form(request, context, *args, **kwargs)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        """The same search as everywhere else."""
        term = search_term.strip()
        return (queryset.found(term) if term else queryset), False  # type: ignore[attr-defined]

    def view_on_site(self, obj: Job) -> str:
        """The job's own page, with its live card."""
        return obj.get_absolute_url()

    # -- columns and fields

    created = moment("created_at", _("created at"))
    started = moment("started_at", _("started at"))
    finished = moment("finished_at", _("finished at"))

    @admin.display(description=_("job"), ordering="name")
    def title(self, job: Job) -> str:
        """Its name, or the beginning of its id, and what it does."""
        return format_html('{} <span class="job-words">{}</span>', cells.title(job), job.operation)

    @admin.display(description=_("state"), ordering="state")
    def condition(self, job: Job) -> str:
        """Its state, and in words what it does or waits for."""
        return cells.state(job)

    @admin.display(description=_("progress"))
    def done(self, job: Job) -> str:
        """How far it is."""
        return cells.done(job)

    @admin.display(description=_("see"))
    def links(self, job: Job) -> str:
        """To its page, its items, its events and its report; to the job it retries, and to those that retry it."""
        kin = job.kin if hasattr(job, "kin") else job.children.order_by("created_at")
        family = cells.family(job.parent, kin)
        return format_html("{}<br>{}", cells.links(job), family) if family else cells.links(job)

    @admin.display(description=_("parameters"))
    def shown_params(self, job: Job) -> str:
        """The parameters, secrets masked."""
        return as_json(status.shown_params(job))

    @admin.display(description=_("metadata"))
    def shown_metadata(self, job: Job) -> str:
        """What the submitter attached."""
        return as_json(job.metadata)

    @admin.display(description=_("result"))
    def shown_result(self, job: Job) -> str:
        """What `finish` returned."""
        return as_json(job.result)

    @admin.display(description=_("chunks"))
    def chunks(self, job: Job) -> str:
        """How its work is cut and who has it."""
        found = Chunk.objects.filter(job=job)
        held = found.filter(holder__isnull=False).count()
        figures = {
            "all": f"{found.count():,}",
            "finished": f"{found.filter(finished=True).count():,}",
            "held": f"{held:,}",
        }
        return gettext("%(all)s in all, %(finished)s finished, %(held)s in hand") % figures

    @admin.display(description=_("failed items"))
    def failed_items(self, job: Job) -> str:
        """The first few; the job's own page has them all."""
        failed = Outcome.objects.filter(job=job, state=OutcomeState.FAILED).order_by("position")[:FAILED_SHOWN]
        return table(
            (gettext("item"), gettext("error"), gettext("message")),
            [(one.position + 1, one.error_code, one.message) for one in failed],
        )

    @admin.display(description=_("events"))
    def events(self, job: Job) -> str:
        """The latest of its audit trail."""
        latest = Event.objects.filter(job=job).select_related("actor").order_by("-pk")[:EVENTS_SHOWN]
        rows = [
            (
                clock(one.at),
                gettext(one.get_kind_display()),
                gettext(JobState(one.to_state).label) if one.to_state else "",
                one.actor or "",
                wording.for_people(one.detail),
            )
            for one in latest
        ]
        return format_html(
            '<div id="events">{}</div>',
            table((gettext("at"), gettext("what"), gettext("state"), gettext("who"), gettext("detail")), rows),
        )


def as_json(value: Any) -> str:
    """A JSON value for reading."""
    return "-" if value in (None, {}) else format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))
