"""What all views of the API share. Nothing is left to the host's REST_FRAMEWORK setting, which is for its own views."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.signals import got_request_exception
from django.db.transaction import non_atomic_requests
from django.urls import resolve, reverse
from django.utils.log import log_response
from drf_spectacular.openapi import AutoSchema
from rest_framework.metadata import SimpleMetadata
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView, set_rollback

from bulkops import attempts, wording
from bulkops.api import logins, problems
from bulkops.api.authentication import (
    CookieAuthentication,
    PasswordAuthentication,
    TokenAuthentication,
    is_known,
    too_often,
)
from bulkops.api.bodies import JsonBody
from bulkops.conf import conf

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request


class Known(BasePermission):
    """Only somebody who is logged in."""

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        return is_known(request.user)


class Anybody(BasePermission):
    """Everybody, at a limited rate."""

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002 - DRF's signature
        return True


NOWHERE = "nowhere"


class Refusing:
    """Of a view of DRF's: whatever goes wrong is told as a problem."""

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        """See `problems`."""
        return _handled


class ApiView(Refusing, APIView):
    """A view for programs who are logged in; refusals are problems."""

    authentication_classes: Any = (TokenAuthentication, PasswordAuthentication, CookieAuthentication)
    permission_classes: Any = (Known,)
    parser_classes: Any = (JsonBody,)
    renderer_classes: Any = (JSONRenderer,)
    throttle_classes: Any = ()
    versioning_class = None
    content_negotiation_class = DefaultContentNegotiation
    metadata_class: Any = SimpleMetadata
    schema: Any = AutoSchema()

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Outside the host's ATOMIC_REQUESTS: a refusal would roll back what counts the tries that were refused."""
        return non_atomic_requests(super().as_view(**initkwargs))

    def dispatch(self, *args: Any, **kwargs: Any) -> Any:
        """Programs are answered in one language, whatever the site's or the caller's is."""
        with wording.english():
            answer = super().dispatch(*args, **kwargs)
            # What an author marked for translation gets its words as it becomes bytes, which Django does later.
            return answer.render() if isinstance(answer, Response) else answer

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Before anything reads the body: Django, like WSGI, takes one without a length for an empty one."""
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            raise problems.Problem("length-required")
        super().initial(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """Anonymous calls are counted, since anybody can make any number of them."""
        super().perform_authentication(request)
        if not is_known(request.user):
            address = logins.address_of(request)
            most = conf().api_anonymous_per_minute
            if seconds := attempts.count("an anonymous call", address, most=most, seconds=60):
                raise too_often(seconds)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """What is here is one person's, and new at each look."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer.headers.setdefault("Cache-Control", "private, no-cache")
        answer.headers.setdefault("Content-Language", "en")  # where Django would name the reader's
        return answer


def _handled(error: Exception, context: dict[str, Any]) -> Response:
    request = context["request"]
    problem = problems.of(error)
    # A refusal is JSON, whatever else the address answers in.
    request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type
    set_rollback()
    answer = problems.response(problem or problems.Problem("internal-error"), request.get_full_path())
    if problem is None:
        got_request_exception.send(sender=ApiView, request=request)
        words = ("%s: %s", "Internal Server Error", request.path)  # as Django's own, for whoever looks for them
        log_response(*words, response=answer, request=request, exception=error)
        return answer
    if (header := getattr(error, "auth_header", None)) is not None:
        answer["WWW-Authenticate"] = header
    if problem.kind.name == "method-not-allowed":
        answer["Allow"] = ", ".join(context["view"].allowed_methods)
    return answer


class Nowhere(ApiView):
    """Every other address below the API's."""

    permission_classes: Any = (Anybody,)
    schema: Any = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - DRF's signature
        """Before anything else."""
        path = request.path_info
        if resolve(f"{path}/").url_name != NOWHERE:
            raise problems.Problem("not-found", f"Addresses end with a slash: {request.path}/")
        docs = reverse("bulkops-api:docs")
        raise problems.Problem("not-found", f"There is no such call; {docs} shows those that there are.")


def seconds_header(seconds: float) -> str:
    """For Retry-After."""
    return str(max(1, math.ceil(seconds)))
