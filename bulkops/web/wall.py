"""The wall: all active jobs on one page, for those who may see everybody's. They come and go by themselves."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from bulkops import permissions
from bulkops.conf import conf
from bulkops.models import Job
from bulkops.web import cards
from bulkops.web.guards import database_may_be_away, is_htmx, person_required

if TYPE_CHECKING:
    from django.http import HttpRequest

SHOWN = 60
"""Jobs on the wall; of more than these, it says how many."""


@require_safe
@never_cache
@database_may_be_away
@person_required
def wall(request: HttpRequest) -> HttpResponse:
    """The page, or for htmx what is on it, where that is not what its address says it shows."""
    if not permissions.may_see_all(request.user):
        raise PermissionDenied(gettext("The jobs of all users are shown to holders of the right to view jobs."))
    context = _context()
    if not is_htmx(request) or "HX-History-Restore-Request" in request.headers:
        return render(request, "bulkops/wall.html", context)
    if request.GET.get("seen") == context["seen"]:
        return HttpResponse(status=204)
    return render(request, "bulkops/_wall.html", context)


def _context() -> dict[str, Any]:
    """The oldest first, so that each keeps its place until one before it ends; constant queries."""
    jobs = list(Job.objects.active().select_related("owner").order_by("created_at", "pk")[: SHOWN + 1])
    more = Job.objects.active().count() - SHOWN if len(jobs) > SHOWN else 0
    shown = cards.of_many(jobs[:SHOWN])
    # Not what grows with the clock alone: a wall on which nothing happens is left as it is.
    told = "".join(
        f"{one.job.pk}{one.job.state}{one.job.message}{one.figures.processed}{one.figures.failed}{one.figures.words}"
        for one in shown
    )
    return {
        "cards": shown,
        "more": more,
        "seen": f"{zlib.crc32(f'{more}{told}'.encode()):08x}",
        "poll": cards.interval(conf().poll_seconds),
        "silence": cards.silence_class(conf().poll_seconds),
    }
