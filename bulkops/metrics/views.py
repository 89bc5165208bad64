"""The address that Prometheus scrapes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from bulkops.metrics import access
from bulkops.metrics.collector import DatabaseCollector
from bulkops.outage import Outage, is_away

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("bulkops.metrics")

# Of our own: the process-wide one would add figures of whichever process happens to answer.
_registry = CollectorRegistry()
_registry.register(DatabaseCollector())
_outage = Outage(logger, "metrics")


@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """All metrics as text, for whom a setting lets in; for anybody else there is no such page."""
    if not access.is_open_to(request):
        raise Http404
    return _told(request)


@require_safe
def _told(request: HttpRequest) -> HttpResponse:
    encode: Callable[[CollectorRegistry], bytes]
    try:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    except (TypeError, ValueError):  # a version that is no number
        encode, content_type = choose_encoder("")
    try:
        text = encode(_registry)
    except Error as error:
        if not is_away(error):
            raise
        _outage.met(error)
        return HttpResponse("The database does not answer.\n", status=503, content_type="text/plain; charset=utf-8")
    _outage.over()
    return HttpResponse(text, content_type=content_type)
