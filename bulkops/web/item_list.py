"""The page of a job's items: a hundred at a time, in one state or of one kind of failure, or a single one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.http import Http404, QueryDict
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from bulkops import fingerprints, what_failed
from bulkops.states import OutcomeState
from bulkops.web import cards, fetch, items
from bulkops.web.guards import database_may_be_away, person_required

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, HttpResponse

    from bulkops.models import Job

FARTHEST = 2**31 - 1


@require_safe
@never_cache
@database_may_be_away
@person_required
def job_items(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The items of a job that were tried."""
    shown = fetch.visible_job(request.user, pk)
    wanted = _one_of(request, "state", "|".join(OutcomeState.values))
    fingerprint = _one_of(request, "fingerprint", fingerprints.PATTERN)
    number = _whole(request, "item")
    after = -1 if (given := _whole(request, "after")) is None else min(given, FARTHEST)
    context: dict[str, Any] = {
        "job": shown,
        "title": shown.name or cards.operation_title(shown.operation),
        "wanted": wanted,
        "fingerprint": fingerprint,
        "filters": _filters(state=wanted, fingerprint=fingerprint),
        "states": OutcomeState.choices,
        "after": after,
        "item": number,
        "decidable": items.are_decidable(request.user, shown),
    }
    if number is not None:
        context |= _single(shown, number)
    else:
        context["page"] = items.page(shown, state=wanted, fingerprint=fingerprint, after=after)
    if fingerprint or wanted == OutcomeState.FAILED:
        groups = what_failed.of(shown).groups
        context["groups"] = groups
        context["group"] = next((group for group in groups if group.fingerprint == fingerprint), None)
    return render(request, "bulkops/items.html", context)


def _one_of(request: HttpRequest, name: str, pattern: str) -> str:
    text = request.GET.get(name, "")
    if text and not re.fullmatch(pattern, text):
        raise Http404(f"There is no such {name}.")
    return text


def _whole(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    try:
        return int(text) if text else None
    except ValueError:
        raise Http404("A position is a whole number.") from None


def _filters(**chosen: str) -> str:
    query = QueryDict(mutable=True)
    query.update({name: value for name, value in chosen.items() if value})
    return query.urlencode()


def _single(job: Job, number: int) -> dict[str, Any]:
    """The item with that number, as people count; one that was not tried has a value only."""
    position = number - 1
    if not 0 <= position <= FARTHEST:
        return {"page": items.Page([], None)}
    page = items.single(job, position)
    return {"page": page, "untried": None if page.items else items.untried(job, position)}
