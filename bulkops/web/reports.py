"""The report as a download: streamed, to whoever may see the job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from bulkops import report
from bulkops.exceptions import InvalidReport
from bulkops.web import fetch
from bulkops.web.guards import database_may_be_away, person_required

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


@require_safe
@database_may_be_away
@person_required
def report_csv(request: HttpRequest, pk: UUID) -> HttpResponseBase:
    """The report. What can be refused is refused before its first byte; a database that goes away later breaks it off.

    The server then closes the connection without the end mark of a chunked answer, so a client knows that it has not
    got all; the file's own last line says so too.
    """
    job = fetch.visible_job(request.user, pk)
    try:
        wanted = report.read_query(request.GET)
    except InvalidReport as refusal:
        return HttpResponse(f"{refusal.message}\n", status=400, content_type="text/plain; charset=utf-8")
    blocks = () if request.method == "HEAD" else report.Report(job, wanted).blocks()
    response = StreamingHttpResponse(blocks, content_type=report.CSV)
    response["Content-Disposition"] = report.attachment(job, wanted)
    response["Cache-Control"] = "private, no-store"
    return response
