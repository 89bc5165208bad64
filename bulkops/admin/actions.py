"""What operators do to chosen jobs at once: cancel, pause, resume, retry; and what became of each, in words.

The services are called one after the other, inside the request: so only so many jobs, and only for so long, that no
gateway gives up first. What was not reached is said and left as it is.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.utils.html import format_html, format_html_join

from bulkops import services
from bulkops.admin import cells
from bulkops.exceptions import ActiveJobExists, BulkopsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from bulkops.models import Job

MOST = 200
"""Jobs that one press may act on."""
SECONDS = 20.0
"""A job whose finish runs makes a press wait for its row: after so long, the rest is left alone."""
NAMED = 20
"""Refused jobs that are named, for each reason."""


class ReasonForm(ActionForm):
    """The choice of an action, and why."""

    reason = forms.CharField(
        required=False,
        label="Reason:",
        widget=forms.TextInput(attrs={"placeholder": "for the trail", "autocomplete": "off", "maxlength": "2000"}),
    )


class JobActions(admin.ModelAdmin):
    """The actions over a list of jobs, for those who may control other people's."""

    action_form = ReasonForm
    actions = ("cancel", "pause", "resume", "retry")

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Who may stop other people's jobs."""
        return request.user.has_perm("bulkops.change_job")

    @admin.action(description="Cancel the selected jobs", permissions=["control"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Stop each for good; what was done stays done."""
        self._each(request, queryset, services.cancel, "cancelled or about to be", "Cancelled in the admin")

    @admin.action(description="Pause the selected jobs", permissions=["control"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Let each stand still; they keep their owners' slots."""
        self._each(request, queryset, services.pause, "paused or about to be", "Paused in the admin")

    @admin.action(description="Resume the selected jobs", permissions=["control"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Let each go on where it stood."""
        self._each(request, queryset, services.resume, "going on", "Resumed in the admin")

    @admin.action(description="Retry the selected jobs' failed or unprocessed items", permissions=["control"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Have a new job of the same owner take what failed of each, or else what was left."""
        self._each(request, queryset, services.retry, "retried: see", "Retried in the admin", named=True)

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Job],
        verb: Callable[..., Job],
        done: str,
        why: str,
        *,
        named: bool = False,
    ) -> None:
        """Do it to the oldest first and tell of each; `why` where no reason is given, `named` where new jobs come."""
        reason = request.POST.get("reason", "").strip()
        chosen = list(queryset.select_related("owner").order_by("created_at", "pk")[: MOST + 1])
        if len(chosen) > MOST:
            text = f"Nothing was done: at most {MOST} jobs can be chosen at once."
            self.message_user(request, text, messages.ERROR)
            return
        came: list[Job] = []
        refused: dict[str, list[Job]] = defaultdict(list)
        until = time.monotonic() + SECONDS
        for number, job in enumerate(chosen):
            if time.monotonic() > until:
                text = f"The last {len(chosen) - number} jobs were not reached in time and stay as they are."
                self.message_user(request, f"{text} Choose them again.", messages.WARNING)
                break
            try:
                came.append(verb(job=job, actor=request.user, reason=reason or why))
            except BulkopsError as refusal:
                refused[_why(refusal)].append(job)
        if came:
            news = format_html(
                "{} {}{}{}.", _jobs_are(len(came)), done, " " if named else "", _named(came) if named else ""
            )
            self.message_user(request, news, messages.SUCCESS)
        for words, jobs in refused.items():
            news = format_html("{} refused: {} {}", len(jobs), words, _named(jobs))
            self.message_user(request, news, messages.WARNING)


def _jobs_are(number: int) -> str:
    return "1 job is" if number == 1 else f"{number} jobs are"


def _why(refusal: BulkopsError) -> Any:
    """The service's words, but where they speak to the owner."""
    if isinstance(refusal, ActiveJobExists):
        return format_html(
            "Its owner's job {} is still active, and there can be one at a time.", cells.link(refusal.job)
        )
    return refusal.message


def _named(jobs: list[Job]) -> str:
    listed = format_html_join(", ", "{}", ((cells.link(job),) for job in jobs[:NAMED]))
    more = len(jobs) - NAMED
    return listed if more <= 0 else format_html("{} and {} more", listed, more)
