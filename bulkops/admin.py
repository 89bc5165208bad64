"""Operators' view in Django's admin: jobs with their bars, clusters, webhooks. Read-only; what acts calls the services.

Bars are native `<progress>` elements, so nothing here needs a style or a script beyond the admin's own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import ngettext

from bulkops import progress, services, status
from bulkops.clock import ClockTimestamp
from bulkops.exceptions import NotAllowedNow, NotPermitted
from bulkops.models import Chunk, Cluster, Endpoint, Event, Job, Outcome
from bulkops.states import OutcomeState

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest

    from bulkops.progress import Progress

EVENTS_SHOWN = 50
FAILED_SHOWN = 20


class ReadOnlyChangeList(ChangeList):
    """A list whose address may hold anything."""

    def get_filters(self, request: HttpRequest) -> Any:
        """The filters; a NUL, which PostgreSQL takes in no text, is answered as other senseless ones: without them."""
        if any("\x00" in text for values in self.filter_params.values() for text in values):
            raise IncorrectLookupParameters
        return super().get_filters(request)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows to those who may view them; nobody adds, changes or deletes them here."""

    actions_on_bottom = False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """See ReadOnlyChangeList."""
        return ReadOnlyChangeList

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Jobs come from submissions, clusters from workers."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """A row changed by hand would contradict the audit trail."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """The audit trail outlives its people."""
        return False


class JobChangeList(ReadOnlyChangeList):
    """Finds the figures of all the page's jobs at once."""

    def get_results(self, request: HttpRequest) -> None:
        """The page's jobs, each with its figures."""
        super().get_results(request)
        jobs = list(self.result_list)
        figures = progress.of_many(jobs)
        for job in jobs:
            job.figures = figures[job.pk]
        self.result_list = jobs


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """The list of jobs with bars and filters, and one job with its trail."""

    list_display = ("title", "operation", "owner", "state", "bar", "counts", "created_at")
    list_filter = ("state", "operation", "created_at", ("owner", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("owner",)
    list_per_page = 50
    # Counting every job there ever was only to say “of 123456” would cost more than the page itself.
    show_full_result_count = False
    # Names the box; what is searched is `JobQuerySet.found`.
    search_fields = ("name",)
    search_help_text = "Name, id, operation, owner, input file or tag"
    date_hierarchy = "created_at"
    actions = ("cancel",)
    fieldsets = (
        (
            None,
            {"fields": ("id", "operation", "name", "owner", "schedule", "state", "bar", "counts", "words", "message")},
        ),
        (
            "Input",
            {"fields": ("input_name", "shown_params", "total", "limit", "parallelism", "tags", "shown_metadata")},
        ),
        ("Times", {"fields": ("created_at", "started_at", "finished_at")}),
        ("End", {"fields": ("error", "error_code", "cancel_reason", "shown_result", "parent")}),
        ("Work", {"fields": ("queue", "chunks", "report", "failed_items", "events")}),
    )

    def has_view_permission(self, request: HttpRequest, obj: Job | None = None) -> bool:
        """As everywhere: `bulkops.view_job`, or `bulkops.change_job`; here not even owners without them."""
        user = request.user
        return user.has_perm("bulkops.view_job") or user.has_perm("bulkops.change_job")

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Who may stop other people's jobs."""
        return request.user.has_perm("bulkops.change_job")

    def get_readonly_fields(self, request: HttpRequest, obj: Job | None = None) -> list[str]:
        """All of them."""
        return [str(name) for _, options in self.fieldsets for name in options["fields"]]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """See JobChangeList."""
        return JobChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Job], search_term: str
    ) -> tuple[QuerySet[Job], bool]:
        """The same search as everywhere else."""
        term = search_term.strip()
        return (queryset.found(term) if term else queryset), False  # type: ignore[attr-defined]

    def view_on_site(self, obj: Job) -> str:
        """The job's own page, with its live card."""
        return obj.get_absolute_url()

    @admin.action(description="Cancel the selected jobs", permissions=["control"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Cancel each of them, and say which could not be."""
        cancelled = 0
        for job in queryset.order_by("created_at"):
            try:
                services.cancel(job=job, actor=request.user, reason="Cancelled in the admin")
                cancelled += 1
            except (NotAllowedNow, NotPermitted) as refusal:
                self.message_user(request, f"{job}: {refusal.message}", messages.WARNING)
        if cancelled:
            text = ngettext("%d job is cancelled or about to be.", "%d jobs are cancelled or about to be.", cancelled)
            self.message_user(request, text % cancelled, messages.SUCCESS)

    # -- columns and fields

    @admin.display(description="job", ordering="name")
    def title(self, job: Job) -> str:
        """Its name, or the beginning of its id."""
        return job.name or str(job.pk)[:8]

    @admin.display(description="progress")
    def bar(self, job: Job) -> str:
        """How far it is."""
        percent = figures_of(job).percent
        return format_html('<progress max="100" value="{0}" aria-label="{0} %">{0} %</progress> {0} %', percent)

    @admin.display(description="items")
    def counts(self, job: Job) -> str:
        """How many of how many, and how many went wrong."""
        now = figures_of(job)
        total = "?" if now.total is None else f"{now.total:,}"
        wrong = "".join(f", {n:,} {what}" for n, what in ((now.failed, "failed"), (now.in_doubt, "in doubt")) if n)
        return f"{now.processed:,} of {total}{wrong}"

    @admin.display(description="state in words")
    def words(self, job: Job) -> str:
        """What it does, or what it waits for."""
        return figures_of(job).words

    @admin.display(description="parameters")
    def shown_params(self, job: Job) -> str:
        """The parameters, secrets masked."""
        return as_json(status.shown_params(job))

    @admin.display(description="metadata")
    def shown_metadata(self, job: Job) -> str:
        """What the submitter attached."""
        return as_json(job.metadata)

    @admin.display(description="result")
    def shown_result(self, job: Job) -> str:
        """What `finish` returned."""
        return as_json(job.result)

    @admin.display(description="chunks")
    def chunks(self, job: Job) -> str:
        """How its work is cut and who has it."""
        found = Chunk.objects.filter(job=job)
        held = found.filter(holder__isnull=False).count()
        return f"{found.count():,}, {found.filter(finished=True).count():,} finished, {held:,} in hand"

    @admin.display(description="report")
    def report(self, job: Job) -> str:
        """Every item with what became of it."""
        return format_html('<a href="{}?bom=1">All items as CSV</a>', reverse("bulkops:job-report", args=[job.pk]))

    @admin.display(description="failed items")
    def failed_items(self, job: Job) -> str:
        """The first few; the job's own page has them all."""
        failed = Outcome.objects.filter(job=job, state=OutcomeState.FAILED).order_by("position")[:FAILED_SHOWN]
        return table(("item", "error", "message"), [(one.position, one.error_code, one.message) for one in failed])

    @admin.display(description="events")
    def events(self, job: Job) -> str:
        """The latest of its audit trail."""
        latest = Event.objects.filter(job=job).select_related("actor").order_by("-pk")[:EVENTS_SHOWN]
        rows = [
            (
                f"{timezone.localtime(one.at):%Y-%m-%d %H:%M:%S}",
                one.get_kind_display(),
                one.to_state,
                one.actor or "",
                one.detail,
            )
            for one in latest
        ]
        return table(("at", "what", "state", "who", "detail"), rows)


@admin.register(Cluster)
class ClusterAdmin(ReadOnlyAdmin):
    """Who works, and when it was last heard of."""

    list_display = ("name", "is_alive", "workers", "queues", "started_at", "alive_until")
    ordering = ("-alive_until",)
    fields = readonly_fields = list_display

    def get_queryset(self, request: HttpRequest) -> QuerySet[Cluster]:
        """Judged by the database's clock, as everywhere."""
        living = ExpressionWrapper(Q(alive_until__gt=ClockTimestamp()), output_field=BooleanField())
        return super().get_queryset(request).annotate(living=living)

    @admin.display(description="alive", boolean=True)
    def is_alive(self, cluster: Cluster) -> bool:
        """Whether it gave a sign of life in time."""
        return cluster.living  # type: ignore[attr-defined]


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    """Where users are told of their jobs, and what was sent there. Their secrets are nobody's here."""

    list_display = ("url", "owner", "kind", "is_on", "failing_since", "created_at")
    list_filter = ("kind", ("disabled_at", admin.EmptyFieldListFilter), ("failing_since", admin.EmptyFieldListFilter))
    list_select_related = ("owner",)
    search_fields = ("url", "description")
    fields = readonly_fields = (
        "id",
        "owner",
        "kind",
        "url",
        "description",
        "events",
        "created_at",
        "disabled_at",
        "disabled_reason",
        "failing_since",
        "not_before",
        "deliveries_shown",
    )

    @admin.display(description="on", boolean=True)
    def is_on(self, endpoint: Endpoint) -> bool:
        """Whether anything is sent there."""
        return endpoint.disabled_at is None

    @admin.display(description="deliveries")
    def deliveries_shown(self, endpoint: Endpoint) -> str:
        """The latest, with the last attempt at each."""
        latest = endpoint.deliveries.prefetch_related("attempts")[:EVENTS_SHOWN]
        rows = [
            (
                f"{timezone.localtime(one.created_at):%Y-%m-%d %H:%M:%S}",
                one.event,
                one.get_state_display(),
                one.tries,
                next((attempt.error for attempt in reversed(one.attempts.all())), ""),
            )
            for one in latest
        ]
        return table(("at", "event", "state", "attempts", "last error"), rows)


def figures_of(job: Job) -> Progress:
    """The figures found for the whole page, or this one job's."""
    if not hasattr(job, "figures"):
        job.figures = progress.of(job)  # type: ignore[attr-defined]
    return job.figures  # type: ignore[attr-defined]


def as_json(value: Any) -> str:
    """A JSON value for reading."""
    return "-" if value in (None, {}) else format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))


def table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    """A plain table, everything in it escaped."""
    if not rows:
        return "-"
    heads = format_html_join("", "<th>{}</th>", ((cell,) for cell in head))
    cells = (format_html_join("", "<td>{}</td>", ((cell,) for cell in row)) for row in rows)
    lines = format_html_join("", "<tr>{}</tr>", ((line,) for line in cells))
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", heads, lines)
