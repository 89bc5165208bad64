"""What can be asked of a job: to stop, to go on, to try again; each answers with where the job then stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiResponse
from rest_framework.response import Response

from bulkops import item_values, services
from bulkops.api import bodies, shapes, statuses
from bulkops.api.base import ApiView
from bulkops.api.described import call
from bulkops.api.jobs import outcome_of
from bulkops.api.problems import Problem, invalid
from bulkops.exceptions import ActiveJobExists, InvalidRate, InvalidSubmission, NotAllowedNow, UnknownOperation
from bulkops.models import Job, Outcome
from bulkops.states import WORKABLE, JobState

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from rest_framework.request import Request

_REFUSALS = ("not-found", "permission-denied", "not-allowed-now")
_ANSWERS = {
    202: OpenApiResponse(shapes.Status, "Accepted."),
    200: OpenApiResponse(shapes.Status, "It was so already."),
}


def _allowed(request: Request, verb: Callable[[], Any]) -> Any:
    """What the verb says; its refusals by state as problems that name the job to go on with."""
    try:
        return verb()
    except ActiveJobExists as refusal:
        raise statuses.active_job(request, refusal.job) from None
    except NotAllowedNow as refusal:
        raise _not_now(request, refusal) from None


def _not_now(request: Request, refusal: NotAllowedNow) -> Problem:
    """Names the job to go on with: this one, or the child that has taken the items."""
    job = refusal.job and Job.objects.select_related("owner").filter(pk=refusal.job.pk).first()
    more: dict[str, Any] = {"job": statuses.resource(request, job)} if job else {}
    return Problem("not-allowed-now", refusal.message, **more)


def _now(request: Request, pk: UUID, code: int) -> Response:
    job, figures = statuses.seen(request, pk)
    return statuses.answer(request, job, figures, code=code)


class Cancel(ApiView):
    """Stop a job for good."""

    @call("Cancel a job", _ANSWERS, *_REFUSALS, body=True, request=shapes.Stop)
    def post(self, request: Request, pk: UUID) -> Response:
        """What was done stays done. A worker ends the item in hand first, unless `force` takes it away."""
        job = statuses.controlled_job(request, pk)
        asked = bodies.read(request, shapes.Stop)
        before = job.state
        _allowed(request, lambda: services.cancel(job=job, actor=request.user, **asked))
        return _now(request, pk, 200 if before == JobState.CANCELLED else 202)


class Pause(ApiView):
    """Let a job stand still."""

    @call("Pause a job", _ANSWERS, *_REFUSALS, body=True, request=shapes.Stop)
    def post(self, request: Request, pk: UUID) -> Response:
        """It keeps its owner's slot."""
        job = statuses.controlled_job(request, pk)
        asked = bodies.read(request, shapes.Stop)
        before = job.state
        _allowed(request, lambda: services.pause(job=job, actor=request.user, **asked))
        return _now(request, pk, 200 if before == JobState.PAUSED else 202)


class Resume(ApiView):
    """Let a paused job go on."""

    @call("Resume a job", _ANSWERS, *_REFUSALS, body=True, request=shapes.Reason)
    def post(self, request: Request, pk: UUID) -> Response:
        """Where it stood."""
        job = statuses.controlled_job(request, pk)
        asked = bodies.read(request, shapes.Reason)
        try:
            services.resume(job=job, actor=request.user, **asked)
        except NotAllowedNow as refusal:
            if refusal.job is None or refusal.job.state not in WORKABLE:
                raise _not_now(request, refusal) from None
            return _now(request, pk, 200)
        return _now(request, pk, 202)


class Retry(ApiView):
    """Try items of an ended job again, in a job of their own."""

    @call(
        "Retry items of a job",
        {202: OpenApiResponse(shapes.Status, "The child job.")},
        *_REFUSALS,
        "active-job-exists",
        "idempotency-key-in-flight",
        body=True,
        request=shapes.Retry,
    )
    def post(self, request: Request, pk: UUID) -> Response:
        """The child needs its owner's slot. Items that another child has taken are not taken again."""
        job = statuses.controlled_job(request, pk)
        asked = bodies.read(request, shapes.Retry)
        try:
            child = _allowed(request, lambda: services.retry(job=job, actor=request.user, **asked))
        except UnknownOperation as gone:
            raise Problem("not-allowed-now", gone.message) from None
        except InvalidSubmission as bad:  # a fingerprint beside items that have none
            raise invalid("#/fingerprint", bad.message) from None
        return statuses.answer(request, child, code=202, location=True)


class Decide(ApiView):
    """Say what became of an item in doubt."""

    @call("Decide an item in doubt", {200: shapes.ItemOutcome}, *_REFUSALS, body=True, request=shapes.Decision)
    def post(self, request: Request, pk: UUID, position: int) -> Response:
        """To have it tried again, retry the job's items in doubt instead."""
        job = statuses.controlled_job(request, pk)
        asked = bodies.read(request, shapes.Decision)
        try:
            outcome = services.decide(job=job, position=position, actor=request.user, **asked)
        except InvalidSubmission as bad:
            raise invalid("#/decision", bad.message) from None
        except NotAllowedNow as refusal:
            if not services.is_decided(job=job, position=position, decision=asked["decision"]):
                raise _not_now(request, refusal) from None
            outcome = Outcome.objects.get(job=job, position=position)
        return Response(outcome_of(outcome, *item_values.at(job, [position]).get(position, ())))


class ChangeRate(ApiView):
    """Limit a job's speed."""

    @call("Limit a job's speed", {200: shapes.Status}, *_REFUSALS, body=True, request=shapes.Rate)
    def post(self, request: Request, pk: UUID) -> Response:
        """From the next item on; null takes the limit away."""
        job = statuses.controlled_job(request, pk)
        asked = bodies.read(request, shapes.Rate)
        try:
            _allowed(request, lambda: services.set_rate(job=job, rate=asked["rate_per_second"], actor=request.user))
        except InvalidRate as bad:
            raise invalid("#/rate_per_second", bad.message) from None
        return _now(request, pk, 200)
