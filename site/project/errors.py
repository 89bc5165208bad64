"""The page of a request that makes no sense."""

from typing import Any

from django.http import HttpResponse, HttpResponseBadRequest
from django.template import loader


def bad_request(*_: Any, **__: Any) -> HttpResponse:
    """Django's own looks for a token in the body, and breaks where that is what cannot be read."""
    return HttpResponseBadRequest(loader.render_to_string("400.html"))
