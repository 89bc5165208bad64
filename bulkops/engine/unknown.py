"""A job whose operation this worker's code does not have, as during a rolling deploy: others may have it.

The turn is passed on for a while. If no worker has known the operation for `operation_missing_seconds`, the job pauses
and says so; where only its end was left to be done, it has failed.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction

from bulkops import dispatch, holds, transitions
from bulkops.clock import ClockTimestamp, database_now
from bulkops.conf import conf
from bulkops.engine import finishing, turns
from bulkops.exceptions import UnknownOperation
from bulkops.models import Job
from bulkops.states import WORKABLE

if TYPE_CHECKING:
    from bulkops.engine.turns import Taken

logger = logging.getLogger("bulkops.engine")

PASS_ON_SECONDS = 2.0


def leave_to_others(taken: Taken) -> None:
    """Pass the turn on, or give up. One transaction; locks the job and then the turn."""
    with transaction.atomic():
        job = transitions.lock_job(taken.job_id)
        turn = None if job is None else turns.lock_own(job, taken)
        if job is None or turn is None:
            return
        since = job.operation_missing_since
        if since is None:
            Job.objects.filter(pk=job.pk).update(operation_missing_since=ClockTimestamp())
            logger.warning("job=%s operation=%s event=operation_unknown", job.pk, job.operation)
        elif (database_now() - since).total_seconds() > conf().operation_missing_seconds:
            turns.let_go(turn)
            _give_up(job)
            return
        turns.let_go(turn)
        dispatch.send(job, turn, delay_seconds=PASS_ON_SECONDS)


def known_here(job: Job) -> None:
    """A worker knows the operation after all: the waiting is over."""
    if job.operation_missing_since is not None:
        Job.objects.filter(pk=job.pk).update(operation_missing_since=None)


def _give_up(job: Job) -> None:
    error = UnknownOperation(job.operation)
    words = f"No running worker knows the operation. {error.message}"
    Job.objects.filter(pk=job.pk).update(operation_missing_since=None)
    if job.state not in WORKABLE or holds.is_complete(job):
        finishing.fail_locked(job, words, error.code)
        return
    holds.pause(job, words)
