"""The report as a download: streamed, to whoever may see the job."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote

from django.http import HttpResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from bulkops import report
from bulkops.exceptions import InvalidReport
from bulkops.web import fetch
from bulkops.web.guards import database_may_be_away, person_required

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest, QueryDict
    from django.http.response import HttpResponseBase

CSV = "text/csv; charset=utf-8; header=present"
SWITCHES = {"": False, "0": False, "1": True}


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
        wanted = _wanted(request.GET)
    except InvalidReport as refusal:
        return HttpResponse(f"{refusal.message}\n", status=400, content_type="text/plain; charset=utf-8")
    blocks = () if request.method == "HEAD" else report.Report(job, wanted).blocks()
    response = StreamingHttpResponse(blocks, content_type=CSV)
    response["Content-Disposition"] = _attachment(report.file_name(job, wanted))
    response["Cache-Control"] = "private, no-store"
    return response


def _wanted(query: QueryDict) -> report.Wanted:
    """What the address asks for. Raises InvalidReport."""
    return report.Wanted(
        states=report.read_states(query.getlist("state")),
        folded=_switch(query, "folded"),
        raw=_switch(query, "raw"),
        bom=_switch(query, "bom"),
    )


def _switch(query: QueryDict, name: str) -> bool:
    value = query.get(name, "")
    if value not in SWITCHES:
        raise InvalidReport(f"“{name}” is 1 or 0.")
    return SWITCHES[value]


def _attachment(name: str) -> str:
    """The header that has the file saved under that name: in ASCII for old clients, in full for all others."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lstrip("-. ")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
