"""What every face says and does when an error of bulkops refuses something: one table for page, API, admin and shell.

Each refusal has a code (the name of an API problem), and by it an HTTP status; an exit code for the shell; and, where
the error's own words would mean nothing to somebody who only sees a form, words for that person.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from django.utils.translation import gettext_noop

from bulkops import exceptions

REFUSED, WRONG_USE, ACTIVE_JOB, TRY_AGAIN = 1, 2, 3, 4
"""Exit codes: refused by a state, called wrongly, held by the user's active job, not possible at this moment."""

STATUSES = {
    "malformed": HTTPStatus.BAD_REQUEST,
    "invalid-idempotency-key": HTTPStatus.BAD_REQUEST,
    "not-authenticated": HTTPStatus.UNAUTHORIZED,
    "permission-denied": HTTPStatus.FORBIDDEN,
    "csrf-failed": HTTPStatus.FORBIDDEN,
    "not-found": HTTPStatus.NOT_FOUND,
    "method-not-allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "not-acceptable": HTTPStatus.NOT_ACCEPTABLE,
    "active-job-exists": HTTPStatus.CONFLICT,
    "not-allowed-now": HTTPStatus.CONFLICT,
    "idempotency-key-in-flight": HTTPStatus.CONFLICT,
    "length-required": HTTPStatus.LENGTH_REQUIRED,
    "too-large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "unsupported-media-type": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "validation": HTTPStatus.UNPROCESSABLE_ENTITY,
    "idempotency-key-reused": HTTPStatus.UNPROCESSABLE_ENTITY,
    "rate-limited": HTTPStatus.TOO_MANY_REQUESTS,
    "internal-error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "no-worker": HTTPStatus.SERVICE_UNAVAILABLE,
    "database-away": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""Every code that an answer over HTTP may name."""

_SPENT_FORM = gettext_noop("This form was sent before with other values. Look at them once more, then start.")


@dataclass(frozen=True)
class Refusal:
    """What is the same in all faces."""

    code: str
    exit_code: int = WRONG_USE
    retry_seconds: float | None = None
    """When it is worth asking again; None: not without changing something."""
    on_form: str = ""
    """What a form says in place of the error's own words; it then needs a fresh key."""

    @property
    def status(self) -> HTTPStatus:
        return STATUSES[self.code]


TABLE: dict[type[exceptions.BulkopsError], Refusal] = {
    exceptions.UnknownOperation: Refusal("validation"),
    exceptions.NotPermitted: Refusal("permission-denied"),
    exceptions.InvalidSubmission: Refusal("validation"),
    exceptions.InputTooLarge: Refusal("too-large"),
    exceptions.ActiveJobExists: Refusal("active-job-exists", ACTIVE_JOB),
    exceptions.IdempotencyKeyReused: Refusal("idempotency-key-reused", on_form=_SPENT_FORM),
    exceptions.InvalidIdempotencyKey: Refusal("invalid-idempotency-key", on_form=_SPENT_FORM),
    exceptions.SubmissionBusy: Refusal("idempotency-key-in-flight", TRY_AGAIN, retry_seconds=1),
    exceptions.DryRunBusy: Refusal("not-allowed-now", TRY_AGAIN, retry_seconds=1),
    exceptions.NoWorker: Refusal("no-worker", TRY_AGAIN, retry_seconds=30),
    exceptions.NotAllowedNow: Refusal("not-allowed-now", REFUSED),
    exceptions.InvalidReport: Refusal("validation"),
}


def of(error: BaseException) -> Refusal | None:
    """The entry of the nearest of its classes, or what the code says that it names by itself, as errors of webhooks do.

    None for what refuses nothing, such as a mistake of our own.
    """
    found = next((TABLE[cls] for cls in type(error).__mro__ if cls in TABLE), None)
    if found is None and isinstance(error, exceptions.BulkopsError) and error.code in STATUSES:
        return Refusal(error.code)
    return found
