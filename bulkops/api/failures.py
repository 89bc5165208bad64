"""A job's failures, group by group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rest_framework.response import Response

from bulkops import what_failed
from bulkops.api import shapes, statuses
from bulkops.api.base import ApiView
from bulkops.api.described import call

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request


class JobFailures(ApiView):
    """What failed in a job."""

    @call("List a job's failures by group", {200: shapes.Failures}, "not-found")
    def get(self, request: Request, pk: UUID) -> Response:
        """The largest group first, fifty and some at most; also while the job runs. Retry one by its fingerprint."""
        return Response(what_failed.resource(what_failed.of(statuses.seen_job(request, pk))))
