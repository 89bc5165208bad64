"""Hands out ticket images to whoever may see the job that made them."""

from uuid import UUID

from django.core.exceptions import SuspiciousOperation
from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_safe

from bulkops.models import Job, Outcome
from ticketing.operations import Issue, image_folder


@require_safe
def image(request: HttpRequest, job_id: UUID, position: int) -> FileResponse:
    """The image that the job made of its item at this position; 404 for everybody who may not see the job."""
    job = get_object_or_404(Job.objects.visible_to(request.user), pk=job_id, operation=Issue.name)
    outcome = get_object_or_404(Outcome, job=job, position=position)
    name = outcome.result.get("file") if isinstance(outcome.result, dict) else None
    folder, slash, file_name = name.rpartition("/") if isinstance(name, str) else ("", "", "")
    # The name comes from our own worker; should it ever say something else, it still leads nowhere else.
    if folder + slash != image_folder(job.pk):
        raise Http404
    try:
        file = default_storage.open(folder + slash + file_name)
    except (FileNotFoundError, IsADirectoryError, SuspiciousOperation):
        raise Http404 from None
    response = FileResponse(file, filename=file_name, content_type="image/png")
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-cache"
    return response
