"""Who has the files that came with a job, and when they are deleted: with the last of their jobs, or untaken.

A batch is taken and given up under one lock: what a job has is not deleted by a form that was sent at the same moment.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.dispatch import receiver
from django.utils import timezone
from django.utils.translation import gettext

from bulkops import uploaded_files
from bulkops.exceptions import InvalidSubmission
from bulkops.kept_uploads import KEPT_FOR
from bulkops.models import Job
from bulkops.signals import job_pruned

if TYPE_CHECKING:
    from uuid import UUID

GRACE = timedelta(hours=1)
"""A batch can be started for `KEPT_FOR`; longer than any such start takes, so that a sweep never meets one."""


# By hand: the storage has no locks, and a batch that waits has no row.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('bulkops batch ' || %s, 0))"


def take(batch: str) -> None:
    """The batch belongs to the job that is about to be inserted: once that is committed, it waits no longer.

    In the caller's transaction, until whose end nobody else takes or gives it up. Raises InvalidSubmission.
    """
    _lock(batch)
    if uploaded_files.waiting(batch) is None and not _is_taken(batch):
        raise InvalidSubmission(gettext("The files are no longer there; choose them again."))
    transaction.on_commit(lambda: uploaded_files.forget_waiting(batch), robust=True)


def give_up(batch: str) -> bool:
    """Delete the batch, unless a job has it; say whether."""
    with transaction.atomic():
        _lock(batch)
        if _is_taken(batch):
            return False
        uploaded_files.close(batch)
    uploaded_files.drop(batch)
    return True


def _lock(batch: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_ONE_AT_A_TIME, [batch])


def _is_taken(batch: str) -> bool:
    return Job.with_pruned.filter(upload=batch).exists()


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
        if give_up(batch):
            swept += 1
        else:
            uploaded_files.forget_waiting(batch)
    return swept


@receiver(job_pruned)
def delete_files(*, job_id: UUID, **_: Any) -> None:
    """Jobs are deleted the youngest first, so the first of a line takes the files with it."""
    job = Job.with_pruned.filter(pk=job_id).exclude(upload="").first()
    if job is not None and not Job.with_pruned.filter(upload=job.upload).exclude(pk=job_id).exists():
        uploaded_files.drop(job.upload)
