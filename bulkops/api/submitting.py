"""Submitting over HTTP: check first, then one transaction that knows the idempotency key before anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from bulkops import dry_run, idempotency, liveness, permissions, registry, services
from bulkops.api import bodies, shapes, statuses, uploads
from bulkops.api.problems import Problem, invalid
from bulkops.conf import conf
from bulkops.exceptions import ActiveJobExists, InputError, InputTooLarge, InvalidRate, SubmissionBusy
from bulkops.webhooks import outbox

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.response import Response

    from bulkops.bounded_uploads import BoundedUpload
    from bulkops.models import Job
    from bulkops.operation import Operation
    from bulkops.services import Submission


def answer(request: Request, bounded: BoundedUpload) -> Response | dict[str, Any]:
    """202 with the status resource; for a dry run, what it found. Raises a problem."""
    body = bodies.plain_of(request)
    trying = _flag(request, "dry_run")
    asked = bodies.checked(body, shapes.Submission)
    key = request.headers.get("Idempotency-Key")
    key = None if key is None else idempotency.parse(key)
    operation = registry.get(asked["operation"])
    if not permissions.may_submit(request.user, operation):
        raise Problem("permission-denied", f"You may not run “{operation.title}”.")
    listed = asked.get("items")
    if listed is not None and len(listed) > conf().body_items:
        raise Problem("too-large", f"These are more than {conf().body_items:,} items; send a file.")
    with uploads.given(request, operation, listed, bounded.dropped) as given:
        submission = _checked(request, operation, asked, given)
        if trying:
            given.batch = ""
            return _tried(submission)
        job = _recorded(request, submission, key)
        if job.upload != given.batch:
            given.batch = ""
    sent = statuses.answer(request, job, code=202, location=True)
    if job.replayed:
        sent["Idempotency-Replayed"] = "true"
    return sent


def _checked(request: Request, operation: Operation, asked: dict[str, Any], given: uploads.Given) -> Submission:
    wanted = asked.get("parallelism")
    if wanted is not None and wanted > operation.parallelism:
        raise invalid("#/parallelism", f"The parallelism must be between 1 and {operation.parallelism}.")
    names = ("params", "name", "tags", "metadata", "parallelism", "limit", "rate_per_second", "email_at_end")
    if asked.get("email_at_end") and not outbox.address_of(request.user):
        raise invalid("#/email_at_end", "You have no e-mail address here.")
    try:
        return services.check(
            user=request.user,
            operation=operation.name,
            items=given.items,
            input_name=given.name,
            upload=given.batch,
            **{name: asked[name] for name in names if name in asked},
        )
    except InvalidRate as error:
        raise invalid("#/rate_per_second", error.message) from None
    except InputTooLarge:
        raise
    except InputError as error:
        raise invalid(f"#/{uploads.FIELD}", error.message) from None


def _recorded(request: Request, submission: Submission, key: str | None) -> Job:
    """A key that is being handled, then one that was, then the user's lock, then the active job."""
    try:
        with transaction.atomic():
            if key is not None:
                if not idempotency.claim(user_id=request.user.pk, key=key):
                    raise SubmissionBusy
                fingerprint = submission.fingerprint()
                known = idempotency.find(user_id=request.user.pk, key=key, fingerprint=fingerprint)
                if known is not None:
                    known.replayed = True
                    return known
            liveness.require_worker()
            return services.record(submission, key)
    except ActiveJobExists as refusal:
        raise statuses.active_job(request, refusal.job) from None


def _tried(submission: Submission) -> dict[str, Any]:
    found = dry_run.run(submission)
    return {
        "operation": submission.operation.name,
        "owner": submission.user.get_username(),
        "params": submission.operation.shown_params(submission.params),
        "total": submission.total,
        "limit": submission.limit,
        "collects": submission.collects,
        "first_items": found.items,
        "outcomes": [one.as_json() for one in found.tried],
        "not_run": found.why_not or None,
        "problem": found.problem or None,
    }


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false").lower()
    if text not in {"true", "1", "false", "0"}:
        raise Problem(
            "validation",
            f"“{name}” is true or false.",
            errors=[{"pointer": "#", "parameter": name, "detail": "true or false"}],
        )
    return text in {"true", "1"}
