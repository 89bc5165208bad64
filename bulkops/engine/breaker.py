"""Pauses a job of which too many items failed, so that a person looks before the rest fails too.

Whoever recorded a failure looks at once, before it goes on: each worker of the job is at most one failure late. An item
that did not fail costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from bulkops import failures, holds, registry, transitions
from bulkops.exceptions import UnknownOperation
from bulkops.states import WORKABLE, OutcomeState

if TYPE_CHECKING:
    from uuid import UUID

    from bulkops.models import Job

FAILURES = frozenset({OutcomeState.FAILED, OutcomeState.IN_DOUBT})


class Breaker:
    """One slice's."""

    def __init__(self, job_id: UUID, most: float | None) -> None:
        self.job_id = job_id
        self.most = most

    def trips(self, recorded: OutcomeState | None) -> bool:
        """After an item's commit: whether that was one failure too many. Then the job is pausing; locks the job."""
        if self.most is None or recorded not in FAILURES:
            return False
        if not failures.since_resumed(self.job_id).reach(self.most):
            return False
        with transaction.atomic():
            job = transitions.lock_job(self.job_id)
            if job is not None:
                _pause_if_reached(job, self.most)
        return True


def look(job: Job) -> None:
    """The same where somebody else than the item's worker recorded a failure; the caller holds the job's lock."""
    try:
        most = registry.get(job.operation).max_failures
    except UnknownOperation:
        return
    if most is not None:
        _pause_if_reached(job, most)


def _pause_if_reached(job: Job, most: float) -> None:
    if job.state not in WORKABLE or holds.is_complete(job):
        return  # one that is complete is left to finish
    found = failures.since_resumed(job.pk)
    if found.reach(most):
        holds.pause(job, f"{found.in_words(most)} {failures.since_when(job)}.")
