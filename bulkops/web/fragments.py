"""The parts of a page that htmx asks for again: each is rendered alone here and included by a page.

A fragment whose content is still what its address says it shows is answered with 204, which htmx does not swap: the
keyboard's focus and half-typed text stay. Only the card is replaced each time; it holds nothing that can be pressed or
that somebody would copy.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from django.db import Error
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_htmx.http import trigger_client_event

from bulkops.conf import conf
from bulkops.latencies import POLL, timed
from bulkops.outage import is_away
from bulkops.web import cards, fetch, starting
from bulkops.web.details import Details
from bulkops.web.failing import Failing
from bulkops.web.guards import database_may_be_away, person_required

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from bulkops.models import Job
    from bulkops.web.cards import Controls

CHANGED = "bulkops:changed"
"""Tells the other parts of the page, through an event in the browser, that a job's state is a new one."""
OVER = "bulkops:over"
"""Tells what follows an end alone, such as *Run again*, that the job has just ended."""


def _unchanged() -> HttpResponse:
    return HttpResponse(status=204)


@timed(POLL, "page")
@require_safe
@never_cache
def progress(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The live card."""
    try:
        return _card(request, pk)
    except Error as error:
        if not is_away(error):
            raise
        # 200, because htmx swaps nothing else; and with a trigger, because the database will be back.
        poll = conf().poll_seconds
        context = {
            "pk": pk,
            "query": request.GET.urlencode(),
            "poll": cards.interval(poll),
            "silence": cards.silence_class(poll),
        }
        return render(request, "bulkops/_card_away.html", context)


@person_required
def _card(request: HttpRequest, pk: UUID) -> HttpResponse:
    card = cards.seen_by(request.user, pk, request.GET.get("place", ""))
    if card is None:
        raise Http404("There is no such job, or none that you may see.")
    seen = request.GET.get("seen", "")
    response = render(request, "bulkops/_card.html", {"card": card, "speak": card.seen != seen, "fragment": True})
    if card.changed_since(seen):
        trigger_client_event(response, CHANGED)
        if not card.job.is_active:
            trigger_client_event(response, OVER)
    return response


@require_safe
@never_cache
@database_may_be_away
@person_required
def controls(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Cancel, pause, resume and retry, as far as the state allows them."""
    return _if_new(request, "controls", cards.controls(fetch.visible_job(request.user, pk), request.user))


@require_safe
@never_cache
@database_may_be_away
@person_required
def details(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What lies below the card of a job's page: items in doubt, result, events."""
    return _if_new(request, "details", Details.of(fetch.visible_job(request.user, pk), request.user))


@require_safe
@never_cache
@database_may_be_away
@person_required
def failures(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What failed, group by group."""
    return _if_new(request, "failures", Failing.of(fetch.visible_job(request.user, pk), request.user))


def _if_new(request: HttpRequest, name: str, part: Controls | Details | Failing) -> HttpResponse:
    """One part of a job's page, where it is not what its address says it shows."""
    if part.seen == request.GET.get("seen"):
        return _unchanged()
    return render(request, f"bulkops/_{name}.html", {name: part})


@require_safe
@never_cache
@database_may_be_away
def active(request: HttpRequest) -> HttpResponse:
    """The start buttons of a form: disabled, with the reason, while this user has an active job.

    Somebody whose session has ended is not taken to the log-in page: what stands in the form would be lost.
    """
    shown = starting.Start.of(request.user, starting.Promised.of(request.GET, request.user))
    if shown.seen == request.GET.get("seen"):
        return _unchanged()
    return render(request, "bulkops/_start.html", {"start": shown})


@require_safe
@never_cache
@database_may_be_away
@person_required
def now(request: HttpRequest) -> HttpResponse:
    """The first page's active job; one that has just ended stays until there is another."""
    job = fetch.active_job(request.user)
    if job is None or str(job.pk) == request.GET.get("seen"):
        return _unchanged()
    return render(request, "bulkops/_now.html", now_context(request, job))


def now_context(request: HttpRequest, job: Job | None) -> dict[str, Any]:
    """What the first page and its fragment show of the active job."""
    context: dict[str, Any] = {"idle_poll": cards.interval(conf().poll_paused_seconds)}
    if job is None:
        return context
    card = cards.of(job, "home")
    return context | {"card": card, "controls": cards.controls(job, request.user, card.figures)}


@require_safe
@never_cache
@database_may_be_away
@person_required
def history(request: HttpRequest) -> HttpResponse:
    """The first page's list of one's own jobs."""
    context = history_context(request)
    if context["history_seen"] == request.GET.get("seen"):
        return _unchanged()
    return render(request, "bulkops/_history.html", context)


def history_context(request: HttpRequest) -> dict[str, Any]:
    """What the first page and its fragment show of one's past jobs; it is new when a job is, or its state."""
    jobs = fetch.newest_jobs(request.user)
    told = "".join(f"{job.pk}{job.state}" for job in jobs)
    return {
        "history": cards.of_many(jobs),
        "history_seen": f"{zlib.crc32(told.encode()):08x}",
        "idle_poll": cards.interval(conf().poll_paused_seconds),
    }
