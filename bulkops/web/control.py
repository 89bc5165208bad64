"""The buttons of a job: cancel, pause, resume. Plain forms, so that they work without JavaScript too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from bulkops import services
from bulkops.exceptions import NotAllowedNow, NotPermitted
from bulkops.web import fetch
from bulkops.web.guards import database_may_be_away, person_required
from bulkops.web.pages import show_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from bulkops.models import Job


@require_POST
@database_may_be_away
@person_required
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop the job for good, with a reason."""
    reason = request.POST.get("reason", "")
    return _do(request, pk, lambda job: services.cancel(job=job, actor=request.user, reason=reason))


@require_POST
@database_may_be_away
@person_required
def pause(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Let the job stand still."""
    return _do(request, pk, lambda job: services.pause(job=job, actor=request.user))


@require_POST
@database_may_be_away
@person_required
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Let the job go on."""
    return _do(request, pk, lambda job: services.resume(job=job, actor=request.user))


def _do(request: HttpRequest, pk: UUID, verb: Callable[[Job], Job]) -> HttpResponse:
    job = fetch.visible_job(request.user, pk)
    try:
        return redirect(verb(job))
    except NotPermitted as refusal:
        raise PermissionDenied(refusal.message) from None
    except NotAllowedNow as refusal:
        # The job moved on while the page was read: show how it is now.
        return show_job(request, fetch.visible_job(request.user, pk), problem=refusal.message, status_code=409)
