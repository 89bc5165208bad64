"""Jobs: the list, submitting, and what one job has to tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db.models import Count
from django.http import HttpResponseNotModified, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiRequest, OpenApiResponse
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.response import Response

from bulkops import attempts, fingerprints, item_values, ledger_pages, report
from bulkops.api import bodies, listing, shapes, statuses, submitting, uploads
from bulkops.api.authentication import too_often
from bulkops.api.base import ApiView
from bulkops.api.described import KEY, call, parameter
from bulkops.api.problems import Problem
from bulkops.conf import conf
from bulkops.exceptions import InvalidReport
from bulkops.models import Event, Job
from bulkops.states import JobState, OutcomeState

if TYPE_CHECKING:
    from uuid import UUID

    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from bulkops.models import Outcome

PAGE_SIZE = 100
DATE, WHOLE = OpenApiTypes.DATETIME, OpenApiTypes.INT
_PAGING = (
    parameter("page", {"type": "integer", "minimum": 1, "maximum": listing.FARTHEST_PAGE}),
    parameter("page_size", {"type": "integer", "minimum": 1, "maximum": listing.LARGEST_PAGE}, "50 unless said."),
)
_FILTERS = (
    parameter("state", str, "May stand there several times.", enum=JobState.values, many=True),
    parameter("operation"),
    parameter("tag"),
    parameter("owner", words="A user's name; of use to holders of bulkops.view_job."),
    parameter("created_after", DATE),
    parameter("created_before", DATE),
    parameter("search", words="In name, id, operation, owner, tag or input file name."),
    parameter(
        "ordering",
        words="-created_at unless said.",
        enum=["", *(f"{sign}{name}" for name in listing.ORDERS for sign in ("", "-"))],
    ),
)
_REPORTED = {
    "folded": "1: with what became of the items in the jobs that retried them.",
    "raw": "1: cells as they are, for programs.",
    "bom": "1: with the mark by which Excel tells UTF-8.",
}
_KEYSET = (
    parameter("after", {"type": "integer", "minimum": -1, "maximum": shapes.LARGEST}, "Those behind this one."),
    parameter("page_size", {"type": "integer", "minimum": 1, "maximum": listing.LARGEST_PAGE}, "100 unless said."),
)


_FINGERPRINT = {"type": "string", "pattern": f"^({fingerprints.PATTERN})?$"}


class Jobs(ApiView):
    """The jobs that I may see, and the way to a new one."""

    parser_classes: Any = (bodies.JsonBody, bodies.MultipartBody)

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        """Files are bounded before anything reads the body, which the CSRF check does."""
        made = super().initialize_request(request, *args, **kwargs)
        self.bounded = uploads.bound(made)
        return made

    @call("List jobs", {200: shapes.StatusPage}, "not-found", "validation", parameters=[*_FILTERS, *_PAGING])
    def get(self, request: Request) -> Response:
        """The newest first, page by page."""
        return Response(listing.page_of_jobs(request))

    @call(
        "Submit a job",
        {202: OpenApiResponse(shapes.Status, "Accepted."), 200: OpenApiResponse(shapes.DryRun, "With dry_run.")},
        "invalid-idempotency-key",
        "permission-denied",
        "active-job-exists",
        "idempotency-key-in-flight",
        "not-allowed-now",
        "idempotency-key-reused",
        "no-worker",
        body=True,
        request={
            "application/json": shapes.Submission,
            "multipart/form-data": OpenApiRequest(
                shapes.FileSubmission,
                encoding={name: {"contentType": "application/json"} for name in ("params", "metadata", "tags")},
            ),
        },
        parameters=[KEY, parameter("dry_run", bool, "Say what would become of it, and store nothing.")],
    )
    def post(self, request: Request) -> Response:
        """Record a job; workers do the work."""
        most = conf().api_submits_per_minute
        if seconds := attempts.count("a submission", request.user.pk, most=most, seconds=60):
            raise too_often(seconds)
        listing.only(request, "dry_run")
        answer = submitting.answer(request, self.bounded)
        return Response(answer) if isinstance(answer, dict) else answer


class JobsSummary(ApiView):
    """How many jobs are in which state."""

    @call("Count jobs by state", {200: shapes.Summary})
    def get(self, request: Request) -> Response:
        """Of those that I may see."""
        found = Job.objects.visible_to(request.user).order_by().values_list("state")
        counts = dict(found.annotate(number=Count("pk")))
        return Response({state: counts.get(state, 0) for state in JobState.values} | {"total": sum(counts.values())})


class OneJob(ApiView):
    """One job."""

    @call(
        "Look at a job",
        {200: shapes.Status, 304: OpenApiResponse(description="There is no news since that ETag.")},
        "not-found",
        parameters=[
            OpenApiParameter("If-None-Match", str, OpenApiParameter.HEADER, description="The ETag of the last answer.")
        ],
    )
    def get(self, request: Request, pk: UUID) -> HttpResponseBase:
        """200 in every state. Poll it as Retry-After says; a weak ETag spares both sides an answer without news."""
        job, figures = statuses.seen(request, pk)
        answer = statuses.answer(request, job, figures)
        if not statuses.is_known(request, answer["ETag"]):
            return answer
        return HttpResponseNotModified(
            headers={name: answer[name] for name in ("ETag", "Retry-After") if name in answer}
        )


class JobItems(ApiView):
    """The items of a job that were tried."""

    @call(
        "List a job's outcomes by position",
        {200: shapes.ItemPage},
        "not-found",
        "validation",
        parameters=[
            parameter("state", str, enum=["", *OutcomeState.values]),
            parameter("fingerprint", _FINGERPRINT, "Only the failures of this group."),
            *_KEYSET,
        ],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """By keyset: the thousandth page costs what the first does. Items without an outcome stand in the report."""
        job = statuses.seen_job(request, pk)
        listing.only(request, "state", "fingerprint", *listing.PositionForm.base_fields)
        wanted = listing.asked(listing.PositionForm, request)
        state = request.query_params.get("state", "")
        if state and state not in OutcomeState.values:
            errors = [{"pointer": "#", "parameter": "state", "detail": f"One of {', '.join(OutcomeState.values)}."}]
            raise Problem("validation", "There is no such state of an item.", errors=errors)
        fingerprint = request.query_params.get("fingerprint", "")
        if fingerprint and not re.fullmatch(fingerprints.PATTERN, fingerprint):
            errors = [{"pointer": "#", "parameter": "fingerprint", "detail": "The job's failures name theirs."}]
            raise Problem("validation", "That is no fingerprint of a group of failures.", errors=errors)
        after = -1 if wanted["after"] is None else min(wanted["after"], shapes.LARGEST)
        size = wanted["page_size"] or PAGE_SIZE
        shown, more = ledger_pages.page(job, state=state, fingerprint=fingerprint, after=after, size=size)
        values = item_values.at(job, [one.position for one in shown])
        further = listing.page_url(request, after=shown[-1].position) if more else None
        return Response({"next": further, "results": [outcome_of(one, *values.get(one.position, ())) for one in shown]})


def outcome_of(outcome: Outcome, item: Any = None, key: str = "") -> dict[str, Any]:
    """An item with what became of it, as JSON types."""
    return {
        "position": outcome.position,
        "item": item,
        "key": key,
        "state": outcome.state,
        "attempt": outcome.attempt,
        "error_code": outcome.error_code,
        "message": outcome.message,
        "fingerprint": outcome.fingerprint,
        "result": outcome.result,
        "finished_at": outcome.finished_at.isoformat(),
    }


class JobEvents(ApiView):
    """A job's audit trail."""

    @call("List a job's events", {200: shapes.EventPage}, "not-found", "validation", parameters=list(_KEYSET))
    def get(self, request: Request, pk: UUID) -> Response:
        """The oldest first."""
        job = statuses.seen_job(request, pk)
        listing.only(request, *listing.PositionForm.base_fields)
        wanted = listing.asked(listing.PositionForm, request)
        size = wanted["page_size"] or PAGE_SIZE
        events = Event.objects.filter(job=job, pk__gt=wanted["after"] or 0).select_related("actor").order_by("pk")
        found = list(events[: size + 1])
        shown = found[:size]
        more = listing.page_url(request, after=shown[-1].pk) if len(found) > size else None
        return Response({"next": more, "results": [_event(one) for one in shown]})


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": event.pk,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "actor": None if event.actor is None else event.actor.get_username(),
        "from_state": event.from_state,
        "to_state": event.to_state,
        "detail": event.detail,
    }


class WhateverIsAccepted(DefaultContentNegotiation):
    """For what has one format only, and names it itself."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:  # noqa: ARG002
        return renderers[0], renderers[0].media_type


class JobReport(ApiView):
    """A job's report."""

    content_negotiation_class = WhateverIsAccepted

    @call(
        "Download a job's report",
        {(200, "text/csv"): OpenApiTypes.STR},
        "not-found",
        "validation",
        parameters=[
            parameter("state", str, "Only items in one of these.", enum=report.STATES, many=True),
            *(parameter(name, str, words, enum=["", "0", "1"]) for name, words in _REPORTED.items()),
        ],
    )
    def get(self, request: Request, pk: UUID) -> HttpResponseBase:
        """Every item in input order as CSV, streamed."""
        job = statuses.seen_job(request, pk)
        listing.only(request, *report.PARAMETERS)
        try:
            wanted = report.read_query(request.query_params)
        except InvalidReport as refusal:
            raise Problem("validation", refusal.message, errors=[{"pointer": "#", "detail": refusal.message}]) from None
        blocks = () if request.method == "HEAD" else report.Report(job, wanted).blocks()
        response = StreamingHttpResponse(blocks, content_type=report.CSV)
        response["Content-Disposition"] = report.attachment(job, wanted)
        response["Cache-Control"] = "private, no-store"
        return response
