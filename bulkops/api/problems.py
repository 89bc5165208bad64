"""Refusals as RFC 9457 problems: the table of their types, and how an error becomes one.

The words are marked for translation and translated on their pages; what programs are sent keeps one language.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import (
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    TooManyFilesSent,
)
from django.db import Error
from django.http import Http404, UnreadablePostError
from django.urls import reverse
from django.utils.translation import gettext_noop as _
from rest_framework import exceptions as rest
from rest_framework.response import Response

from bulkops import exceptions, refusals, uploaded_files
from bulkops.api.pointers import pointer_to
from bulkops.conf import conf
from bulkops.outage import is_away

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONTENT_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Kind:
    """One type of problem: the same words for each occurrence, and a page that explains it."""

    name: str
    title: str
    meaning: str
    remedy: str

    @property
    def status(self) -> int:
        return refusals.STATUSES[self.name].value

    @property
    def url(self) -> str:
        return reverse("bulkops-problems:problem", args=[self.name])


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "malformed",
            _("The request cannot be read"),
            _("The body is no JSON that can be stored, or no well-formed multipart."),
            _("Send UTF-8 JSON without NUL characters, without NaN, and with each key once."),
        ),
        Kind(
            "invalid-idempotency-key",
            _("The idempotency key is not valid"),
            _("The header Idempotency-Key is not 1 to 255 visible ASCII characters."),
            _("Send a UUID, quoted or bare."),
        ),
        Kind(
            "not-authenticated",
            _("Log in first"),
            _("The request names nobody, or its token, name or password is wrong, or the user is not active."),
            _("Send “Authorization: Token …”, Basic credentials, or a session's cookie."),
        ),
        Kind(
            "permission-denied",
            _("You may not do this"),
            _("You may see it, but not do it: an operation without its permission, or somebody else's job."),
            _("Ask an administrator for the permission."),
        ),
        Kind(
            "csrf-failed",
            _("The CSRF token is missing or wrong"),
            _("A session's cookie alone does not prove that its user wanted this."),
            _("Send the CSRF cookie's value as the header X-CSRFToken, or use a token."),
        ),
        Kind(
            "not-found",
            _("There is nothing here"),
            _(
                "There is nothing at this address, or nothing that you may see. "
                "Other people's jobs do not exist for you."
            ),
            _("Look at the address; jobs are deleted some time after their end."),
        ),
        Kind(
            "method-not-allowed",
            _("This method is not allowed here"),
            _("The address exists, but not for this method."),
            _("The header Allow lists those that are."),
        ),
        Kind(
            "not-acceptable",
            _("No such format"),
            _("The header Accept names no format that this address can answer in."),
            _("Accept application/json."),
        ),
        Kind(
            "active-job-exists",
            _("You have an active job"),
            _("A user has one active job at a time. `active_job` is the status of the one that runs."),
            _("Wait until it has ended, or cancel it. The header Retry-After says about when."),
        ),
        Kind(
            "not-allowed-now",
            _("The state does not allow this now"),
            _("The job, the item or the dry run is in a state in which this cannot be done."),
            _("Look at its status. Where a job is named in `job`, go on with that one."),
        ),
        Kind(
            "idempotency-key-in-flight",
            _("A request with this key is being handled"),
            _("Another submission with the same key, or of the same user, is being recorded at this moment."),
            _("Send the same request again in a second."),
        ),
        Kind(
            "length-required",
            _("How long is the body?"),
            _("The body came in chunks, without its length. What cannot be read is not taken for an empty body."),
            _("Send the header Content-Length: let your client hold the whole body, or name its length."),
        ),
        Kind(
            "too-large",
            _("The content is too large"),
            _("The body, the file or the number of items is above its limit."),
            _("Send a file in place of a JSON body, or several jobs one after the other."),
        ),
        Kind(
            "unsupported-media-type",
            _("This content type is not read here"),
            _("A body is application/json; where files are taken, multipart/form-data too."),
            _("Name one of them in the header Content-Type."),
        ),
        Kind(
            "validation",
            _("The content is not valid"),
            _("`errors` names what is wrong, each with a JSON Pointer into what was sent, the first 100 of them."),
            _("Correct it and send it again."),
        ),
        Kind(
            "idempotency-key-reused",
            _("This key was used for another submission"),
            _("The same key came with another body within its lifetime."),
            _("Take a new key for a new submission."),
        ),
        Kind(
            "rate-limited",
            _("Too many requests"),
            _("More submissions, log-ins or anonymous calls than the limit."),
            _("Wait as long as Retry-After says."),
        ),
        Kind(
            "internal-error",
            _("Something broke"),
            _("A mistake of the server's own, which was logged. Whether something was stored, nobody knows."),
            _("Tell an administrator when it was; a submission can be sent again with the same idempotency key."),
        ),
        Kind(
            "no-worker",
            _("No worker is running"),
            _("No worker has been alive for a while, so a job would only wait. Nothing was stored."),
            _("Tell an administrator; try again later with the same idempotency key."),
        ),
        Kind(
            "database-away",
            _("The database does not answer"),
            _("Whether something was stored, nobody knows at this moment."),
            _("Try again later with the same idempotency key."),
        ),
    )
}


class Problem(rest.APIException):
    """A refusal of one of the kinds; `more` are further members, and `headers` go with it."""

    def __init__(
        self,
        name: str,
        detail: str = "",
        *,
        errors: Sequence[dict[str, str]] | None = None,
        retry_after: float | None = None,
        **more: Any,
    ) -> None:
        self.kind = KINDS[name]
        super().__init__(detail or self.kind.meaning)
        self.words = detail or self.kind.meaning
        self.retry_after = retry_after
        self.more = more | ({} if errors is None else {"errors": list(errors)[: conf().bad_items_named]})


def invalid(pointer: str, detail: str) -> Problem:
    """The content is not valid, in one place."""
    return Problem("validation", detail, errors=[{"pointer": pointer, "detail": detail}])


def body(problem: Problem, instance: str) -> dict[str, Any]:
    """The members of a problem."""
    kind = problem.kind
    return {
        "type": kind.url,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.words,
        "instance": instance,
        **problem.more,
    }


def response(problem: Problem, instance: str) -> Response:
    """What is sent."""
    answer = Response(body(problem, instance), status=problem.kind.status, content_type=CONTENT_TYPE)
    if problem.retry_after is not None:
        answer["Retry-After"] = str(max(1, math.ceil(problem.retry_after)))
    answer["Cache-Control"] = "no-store"
    return answer


def of(error: Exception) -> Problem | None:
    """The problem that an error is; None for a mistake of our own."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, exceptions.BulkopsError):
        return _of_ours(error)
    if isinstance(error, rest.APIException):
        return _of_rest(error)
    if isinstance(error, Http404):
        return Problem("not-found")
    if isinstance(error, PermissionDenied):
        return Problem("permission-denied")
    if isinstance(error, RequestDataTooBig):
        return Problem("too-large")
    if isinstance(error, TooManyFilesSent):
        return Problem("too-large", uploaded_files.too_many())
    if isinstance(error, SuspiciousOperation | UnreadablePostError):
        return Problem("malformed")
    if isinstance(error, Error) and is_away(error):
        return Problem("database-away", retry_after=5)
    return None


def _of_rest(error: rest.APIException) -> Problem | None:
    if isinstance(error, rest.UnsupportedMediaType):
        kind = KINDS["unsupported-media-type"]
        return Problem(kind.name, f"{error.detail} {kind.meaning} {kind.remedy}")
    words = str(error.detail)
    for cls, name in (
        (rest.ParseError, "malformed"),
        (rest.AuthenticationFailed, "not-authenticated"),
        (rest.NotAuthenticated, "not-authenticated"),
        (rest.PermissionDenied, "permission-denied"),
        (rest.NotFound, "not-found"),
        (rest.MethodNotAllowed, "method-not-allowed"),
        (rest.NotAcceptable, "not-acceptable"),
    ):
        if isinstance(error, cls):
            return Problem(name, words)
    return None


def _of_ours(error: exceptions.BulkopsError) -> Problem | None:
    """Those of the services; what needs more than its own words is told by the view that met it."""
    refusal = refusals.of(error)
    if refusal is None:
        return None
    errors = list(_pointing(error)) if refusal.code == "validation" else None
    return Problem(refusal.code, error.message, errors=errors, retry_after=refusal.retry_seconds)


def _pointing(error: exceptions.BulkopsError) -> Iterator[dict[str, str]]:
    """What is wrong where in the content."""
    if isinstance(error, exceptions.InvalidParams):
        yield from _of_params(error)
    elif isinstance(error, exceptions.InvalidItems):
        yield from _of_items(error)
    else:
        unknown = isinstance(error, exceptions.UnknownOperation)
        yield {"pointer": "#/operation" if unknown else "#", "detail": error.message}


def _of_params(error: exceptions.InvalidParams) -> Any:
    for name, texts in error.errors.items():
        where = ["params"] if name == "__all__" else ["params", name]
        yield {"pointer": pointer_to(*where), "detail": " ".join(texts)}


def _of_items(error: exceptions.InvalidItems) -> Any:
    for position, field, text in error.errors:
        if position is None:
            yield {"pointer": pointer_to("items"), "detail": text}
        else:
            yield {"pointer": pointer_to("items", position, *([field] if field else [])), "detail": text}
    if not error.errors:
        yield {"pointer": pointer_to("items"), "detail": error.message}
