"""What is answered where no view answers: a request that makes no sense, and a database that is away."""

from collections.abc import Callable
from typing import Any

from django.db import Error
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse
from django.template import loader

from bulkops.api import problems
from bulkops.outage import is_away
from bulkops.web.guards import database_away

API = "/api/"
BAD_REQUEST = "The request makes no sense here, perhaps since its Host is not one of this site's."


def bad_request(request: HttpRequest, *_: Any, **__: Any) -> HttpResponse:
    """Django's own looks for a token in the body, and breaks where that is what cannot be read."""
    if request.path_info.startswith(API):
        told = problems.body(problems.Problem("malformed", BAD_REQUEST), request.path)
        return JsonResponse(told, status=400, content_type=problems.CONTENT_TYPE)
    return HttpResponseBadRequest(loader.render_to_string("400.html"))


class DatabaseMayBeAway:
    """Middleware for the views that are not bulkops' own, such as the log-in page and the admin: 503 in words.

    For people only, that is where Accept names HTML: a program may take 503 for “nothing was done”, which nobody knows
    here, since the database may have gone after its last commit.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Of a view, or of the rendering of what it returned; any other error is left to Django."""
        if isinstance(error, Error) and is_away(error) and "text/html" in request.headers.get("Accept", ""):
            return database_away(request)
        return None
