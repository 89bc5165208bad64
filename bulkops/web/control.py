"""The buttons of a job and of its items in doubt. Plain forms, so that they work without JavaScript too."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext

from bulkops import refusals, result_files, services, wording
from bulkops.exceptions import ActiveJobExists, BulkopsError, NotAllowedNow, NotPermitted
from bulkops.states import OutcomeState
from bulkops.web import cards, fetch
from bulkops.web.guards import database_may_be_away, person_required, post_required
from bulkops.web.pages import show_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from bulkops.models import Job


@post_required
@database_may_be_away
@person_required
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stop the job for good, with a reason; by force if that was chosen."""
    reason, force = request.POST.get("reason", ""), "force" in request.POST
    return _do(request, pk, lambda job: services.cancel(job=job, actor=request.user, reason=reason, force=force))


@post_required
@database_may_be_away
@person_required
def pause(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Let the job stand still; by force if that was chosen."""
    reason, force = request.POST.get("reason", ""), "force" in request.POST
    return _do(request, pk, lambda job: services.pause(job=job, actor=request.user, reason=reason, force=force))


@post_required
@database_may_be_away
@person_required
def resume(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Let the job go on."""
    return _do(request, pk, lambda job: services.resume(job=job, actor=request.user))


@post_required
@database_may_be_away
@person_required
def retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have another job take the items that failed, all or those of a group, were never processed or are in doubt."""
    wanted = request.POST.get("items", ""), request.POST.get("fingerprint", "")

    def verb(job: Job) -> Job:
        try:
            return services.retry(job=job, actor=request.user, items=wanted[0], fingerprint=wanted[1])
        except ActiveJobExists as refusal:
            running = refusal.job
            if running.parent_id == job.pk and (running.retry_items, running.retry_fingerprint) == wanted:
                return refusal.job  # the second press: here is the job that the first one made
            raise

    return _do(request, pk, verb)


@post_required
@database_may_be_away
@person_required
def decide(request: HttpRequest, pk: UUID, position: int) -> HttpResponse:
    """Say of an item in doubt whether it was done."""
    decision = request.POST.get("decision", "")

    def verb(job: Job) -> Job:
        try:
            services.decide(job=job, position=position, decision=decision, actor=request.user)
        except NotAllowedNow:
            if not services.is_decided(job=job, position=position, decision=decision):
                raise
        return job

    answer = _do(request, pk, verb)
    if answer.status_code != HTTPStatus.FOUND:
        return answer
    if "listed" in request.POST:
        where = urlencode({"state": str(OutcomeState.IN_DOUBT), "after": str(position - 1)})
        return redirect(f"{reverse('bulkops:job-items', args=[pk])}?{where}")
    return redirect(f"{answer['Location']}#details-{pk}")  # where the next one is


@post_required
@database_may_be_away
@person_required
def rate(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Limit how many items a second may begin; an empty field leaves the operation's own."""
    text = request.POST.get("rate_per_second", "").strip()
    try:
        wanted = float(text) if text else None
    except ValueError:
        wanted = math.nan  # no number, which the service says in words
    return _do(request, pk, lambda job: services.set_rate(job=job, rate=wanted, actor=request.user))


@post_required
@database_may_be_away
@person_required
def zip_results(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Have another job put all files of this one together; it needs the slot of whoever asks for it."""
    wanted = {"job": str(pk)}

    def verb(job: Job) -> Job:
        name = gettext("Zip of %(title)s") % {"title": cards.title(job)}
        try:
            return services.submit(user=request.user, operation=result_files.ZIP_OPERATION, params=wanted, name=name)
        except ActiveJobExists as refusal:
            if (refusal.job.operation, refusal.job.params) == (result_files.ZIP_OPERATION, wanted):
                return refusal.job  # the second press
            raise

    return _do(request, pk, verb)


def _do(request: HttpRequest, pk: UUID, verb: Callable[[Job], Job]) -> HttpResponse:
    job = fetch.visible_job(request.user, pk)
    try:
        return redirect(verb(job))
    except ActiveJobExists as error:
        return show_job(request, job, blocked_by=error.job, status_code=HTTPStatus.CONFLICT)
    except BulkopsError as error:
        refusal = refusals.of(error)
        if refusal is None:
            raise
        if isinstance(error, NotPermitted):
            raise PermissionDenied(error.message) from None
        if refusal.status == HTTPStatus.CONFLICT:
            job = fetch.visible_job(request.user, pk)  # it moved on while the page was read: show how it is now
        return show_job(request, job, problem=wording.for_people(error.message), status_code=refusal.status)
