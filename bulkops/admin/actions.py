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
from django.utils.translation import gettext, ngettext_lazy
from django.utils.translation import gettext_lazy as _

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


_DONE = {
    "cancel": ngettext_lazy("%(n)s job is cancelled or about to be", "%(n)s jobs are cancelled or about to be", "n"),
    "pause": ngettext_lazy("%(n)s job is paused or about to be", "%(n)s jobs are paused or about to be", "n"),
    "resume": ngettext_lazy("%(n)s job is going on", "%(n)s jobs are going on", "n"),
    "retry": ngettext_lazy("%(n)s job is retried: see", "%(n)s jobs are retried: see", "n"),
}


class ReasonForm(ActionForm):
    """The choice of an action, and why."""

    reason = forms.CharField(
        required=False,
        label=_("Reason:"),
        widget=forms.TextInput(attrs={"placeholder": _("for the trail"), "autocomplete": "off", "maxlength": "2000"}),
    )


class JobActions(admin.ModelAdmin):
    """The actions over a list of jobs, for those who may control other people's."""

    action_form = ReasonForm
    actions = ("cancel", "pause", "resume", "retry")

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Who may stop other people's jobs."""
        return request.user.has_perm("bulkops.change_job")

    @admin.action(description=_("Cancel the selected jobs"), permissions=["control"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Stop each for good; what was done stays done."""
        self._each(request, queryset, services.cancel, _DONE["cancel"], "Cancelled in the admin")

    @admin.action(description=_("Pause the selected jobs"), permissions=["control"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Let each stand still; they keep their owners' slots."""
        self._each(request, queryset, services.pause, _DONE["pause"], "Paused in the admin")

    @admin.action(description=_("Resume the selected jobs"), permissions=["control"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Let each go on where it stood."""
        self._each(request, queryset, services.resume, _DONE["resume"], "Resumed in the admin")

    @admin.action(description=_("Retry the selected jobs' failed or unprocessed items"), permissions=["control"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Have a new job of the same owner take what failed of each, or else what was left."""
        self._each(request, queryset, services.retry, _DONE["retry"], "Retried in the admin", named=True)

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Job],
        verb: Callable[..., Job],
        done: Any,
        why: str,
        *,
        named: bool = False,
    ) -> None:
        """Do it to the oldest first and tell of each; `why` where no reason is given, `named` where new jobs come."""
        reason = request.POST.get("reason", "").strip()
        chosen = list(queryset.select_related("owner").order_by("created_at", "pk")[: MOST + 1])
        if len(chosen) > MOST:
            text = gettext("Nothing was done: at most %(most)s jobs can be chosen at once.") % {"most": MOST}
            self.message_user(request, text, messages.ERROR)
            return
        came: list[Job] = []
        refused: dict[str, list[Job]] = defaultdict(list)
        until = time.monotonic() + SECONDS
        for number, job in enumerate(chosen):
            if time.monotonic() > until:
                text = gettext("The last %(n)s jobs were not reached in time and stay as they are. Choose them again.")
                self.message_user(request, text % {"n": len(chosen) - number}, messages.WARNING)
                break
            try:
                came.append(verb(job=job, actor=request.user, reason=reason or why))
            except BulkopsError as refusal:
                refused[_why(refusal)].append(job)
        if came:
            words = str(done % {"n": len(came)})
            news = format_html("{} {}.", words, _named(came)) if named else f"{words}."
            self.message_user(request, news, messages.SUCCESS)
        for words, jobs in refused.items():
            news = format_html("{} {} {}", gettext("%(n)s refused:") % {"n": len(jobs)}, words, _named(jobs))
            self.message_user(request, news, messages.WARNING)


def _why(refusal: BulkopsError) -> Any:
    """The service's words, but where they speak to the owner."""
    if isinstance(refusal, ActiveJobExists):
        words = gettext("Its owner's job %(job)s is still active, and there can be one at a time.")
        return format_html(words.replace("%(job)s", "{}"), cells.link(refusal.job))
    return refusal.message


def _named(jobs: list[Job]) -> str:
    listed = format_html_join(", ", "{}", ((cells.link(job),) for job in jobs[:NAMED]))
    more = len(jobs) - NAMED
    return listed if more <= 0 else format_html("{} {}", listed, gettext("and %(more)s more") % {"more": more})
