"""Hands out the files that items made, to whoever may see their job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from bulkops import result_files
from bulkops.models import Outcome
from bulkops.web import fetch
from bulkops.web.guards import database_may_be_away, person_required

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest

POLICY = "default-src 'none'; sandbox"
"""Nothing in such a file runs here, whatever it holds and however a browser takes it."""


@require_safe
@database_may_be_away
@person_required
def item_file(request: HttpRequest, pk: UUID, position: int, number: int) -> FileResponse:
    """One file of an item. Only pictures are shown by the browser itself, all else is downloaded."""
    job = fetch.visible_job(request.user, pk)
    outcome = get_object_or_404(Outcome, job_id=job.pk, position=position)
    files = result_files.of_result(job.pk, outcome.position, outcome.result)
    found = next((one for one in files if one.number == number), None)
    if found is None:
        raise Http404("There is no such file.")
    try:
        content = default_storage.open(found.path, "rb")
    except (FileNotFoundError, IsADirectoryError, SuspiciousOperation):
        raise Http404("This file is no longer there.") from None
    response = FileResponse(content, as_attachment=not found.is_inline, filename=found.name, content_type=found.type)
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = POLICY
    response["Cache-Control"] = "private, no-cache"
    return response
