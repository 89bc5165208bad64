"""The pages that show: the first page, a job, its items, and finding a job by its id. They change nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.http import Http404
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from bulkops import permissions, registry, status
from bulkops.exceptions import UnknownOperation
from bulkops.web import cards, fetch, mentions, responses
from bulkops.web.details import Details
from bulkops.web.failing import Failing
from bulkops.web.fragments import history_context, now_context
from bulkops.web.guards import database_may_be_away, is_htmx, person_required
from bulkops.web.operation_list import OperationList

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from bulkops.models import Job

# A pasted address of a job's page or a line of a log holds its id too.
JOB_ID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)


@require_safe
@never_cache
@database_may_be_away
@person_required
def home(request: HttpRequest) -> HttpResponse:
    """What I may run, what runs, what ran; for htmx, which asks for what was typed into its field, the former alone."""
    # Going back with htmx on the page asks for the whole page, although it is htmx that asks.
    if is_htmx(request) and "HX-History-Restore-Request" not in request.headers:
        return render(request, "bulkops/_operations.html", {"operations": OperationList.of(request)})
    return _home(request)


def _home(request: HttpRequest, *, status_code: int = 200, **more: Any) -> HttpResponse:
    context = {
        "operations": OperationList.of(request),
        **now_context(request, fetch.active_job(request.user)),
        **history_context(request),
    }
    return render(request, "bulkops/home.html", context | more, status=status_code)


@require_safe
@never_cache
@database_may_be_away
@person_required
def open_job(request: HttpRequest) -> HttpResponse:
    """Go to a job by its id. A job of somebody else is not found, like one that never was."""
    text = request.GET.get("id", "").strip()
    found = JOB_ID.search(text)
    if found is None:
        words = gettext("“%(text)s” is not a job's id. An id looks like 1b4e28ba-2fa1-4d2b-883f-0016d3cca427.")
        words %= {"text": text[:80]}
        return _home(request, status_code=400, open_id=text, open_error=words if text else gettext("Type a job's id."))
    try:
        return redirect(fetch.visible_job(request.user, UUID(found.group())))
    except Http404:
        words = gettext("There is no job with this id among those that you may see.")
        return _home(request, status_code=404, open_id=text, open_error=words)


@require_safe
@never_cache
@database_may_be_away
@person_required
def job(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One job. Programs that ask for JSON by name get its status resource."""
    shown = fetch.visible_job(request.user, pk)
    if request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        return responses.status_of(shown, request)
    return show_job(request, shown)


def show_job(
    request: HttpRequest, shown: Job, *, problem: str = "", blocked_by: Job | None = None, status_code: int = 200
) -> HttpResponse:
    """The job's page, with a problem in words above it where a button could not do its work.

    `blocked_by` is the active job of the same owner that a retry has to wait for.
    """
    card = cards.of(shown, "job")
    context = {
        "job": shown,
        "card": card,
        "controls": cards.controls(shown, request.user, card.figures),
        "failures": Failing.of(shown, request.user),
        "details": Details.of(shown, request.user),
        "children": shown.children.order_by("-created_at") if not shown.is_active else (),
        "params": status.shown_params(shown),
        "own": shown.owner_id == request.user.pk,
        "again": not shown.is_active and _may_run_again(request.user, shown),
        "problem": mentions.linked(problem, mentions.found([problem], request.user)),
        "blocked_by": cards.of(blocked_by) if blocked_by is not None else None,
    }
    return render(request, "bulkops/job.html", context, status=status_code)


def _may_run_again(user: Any, shown: Job) -> bool:
    try:
        return permissions.may_submit(user, registry.get(shown.operation))
    except UnknownOperation:
        return False
