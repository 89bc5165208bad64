"""When the files that came with jobs are deleted: with the last of the jobs, or a day later if no job took them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.files.storage import default_storage
from django.dispatch import receiver
from django.utils import timezone

from bulkops import uploaded_files
from bulkops.kept_uploads import KEPT_FOR
from bulkops.models import Job
from bulkops.signals import job_pruned

if TYPE_CHECKING:
    from uuid import UUID

GRACE = timedelta(hours=1)
"""A batch can be started for `KEPT_FOR`; longer than any such start takes, so that a sweep never meets one."""


def sweep() -> int:
    """Delete the batches that nobody started in time; return how many.

    A note whose batch a job has taken all the same, as after a crash just then, goes alone.
    """
    try:
        _, waiting = default_storage.listdir(uploaded_files.WAITING)
    except (FileNotFoundError, NotImplementedError):
        return 0
    too_old = timezone.now() - KEPT_FOR - GRACE
    swept = 0
    for batch in waiting:
        try:
            is_old = default_storage.get_modified_time(f"{uploaded_files.WAITING}/{batch}") < too_old
        except FileNotFoundError:
            continue  # somebody else swept it, or started it
        if not is_old:
            continue
        if Job.with_pruned.filter(upload=batch).exists():
            default_storage.delete(f"{uploaded_files.WAITING}/{batch}")
            continue
        uploaded_files.drop(batch)
        swept += 1
    return swept


def give_up(batch: str) -> None:
    """Delete a batch that whoever sent it wants no longer, unless a job has taken it.

    Asked of the jobs themselves: the note may still say that it waits, or a start may have come in between.
    """
    if not Job.with_pruned.filter(upload=batch).exists():
        uploaded_files.drop(batch)


@receiver(job_pruned)
def delete_files(*, job_id: UUID, **_: Any) -> None:
    """Jobs are deleted the youngest first, so the first of a line takes the files with it."""
    job = Job.with_pruned.filter(pk=job_id).exclude(upload="").first()
    if job is not None and not Job.with_pruned.filter(upload=job.upload).exclude(pk=job_id).exists():
        uploaded_files.drop(job.upload)
