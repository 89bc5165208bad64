"""The only writer of a job's state. Every move takes an edge of `states.TRANSITIONS` and leaves an event.

It is also where a job's clock of work is started and stopped, which runs by its state (see pace.py), and where an
ended job's items join the running totals (see totals.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.utils.translation import gettext

from bulkops import events, pace, totals
from bulkops.clock import ClockTimestamp
from bulkops.exceptions import NotAllowedNow
from bulkops.models import Job
from bulkops.states import ENDED, TRANSITIONS, EventKind, JobState

if TYPE_CHECKING:
    from uuid import UUID


def lock_job(job_id: UUID, *, skip_locked: bool = False) -> Job | None:
    """The job, its row locked until the caller's transaction ends; None if it is gone (or locked, when skipping).

    NO KEY UPDATE, so that rows which refer to the job can be inserted meanwhile. Lock order everywhere: user, job,
    turn, chunk.
    """
    return Job.objects.select_for_update(no_key=True, skip_locked=skip_locked, of=("self",)).filter(pk=job_id).first()


def lock_owner_and_job(job_id: UUID) -> Job | None:
    """The job, its owner's row locked before its own: what finishing needs, since it frees the slot."""
    owner = get_user_model()._default_manager.filter(bulkops_jobs=job_id)
    owner.select_for_update(no_key=True, of=("self",)).only("pk").first()
    return lock_job(job_id)


def note_result(job: Job, result: str | None) -> None:
    """Store what the operation's `finish` returned, in the transaction that ends the job."""
    job.result = None if result is None else json.loads(result)
    job.save(update_fields=["result"])


def user_slot(user: Any) -> str:
    """The slot that all jobs of a user share, so that only one of them is active."""
    return f"user:{user.pk}"


def slot_of(job: Job) -> str:
    """The slot that a job needs: its schedule's own where one began it, else its owner's."""
    return f"schedule:{job.schedule}" if job.schedule else user_slot(job.owner)


def begin(job: Job, state: JobState, *, actor: Any, detail: str = "") -> None:
    """Insert a new job in its first state, holding its slot. Raises IntegrityError if the slot is taken."""
    job.state = state
    job.slot = slot_of(job)
    job.save(force_insert=True)
    events.record(job, EventKind.SUBMITTED, actor=actor, to_state=state, detail=detail)


def move(job: Job, to: JobState, *, actor: Any = None, detail: str = "", **fields: Any) -> None:
    """Take the job to another state, with further fields, in the transaction that holds its lock.

    Frees the slot at the end of the job. Raises NotAllowedNow for an edge that is not in the table, or if the state
    changed although it should have been locked.
    """
    origin = JobState(job.state)
    reason = TRANSITIONS.get((origin, to))
    if reason is None:
        raise NotAllowedNow(
            gettext("A job that is %(origin)s cannot become %(to)s.")
            % {"origin": gettext(origin.label), "to": gettext(to.label)},
            job,
        )
    if to in ENDED and origin not in ENDED:
        fields |= {"slot": None, "finished_at": ClockTimestamp()}
    if to == JobState.RUNNING and job.started_at is None:
        fields["started_at"] = ClockTimestamp()
    if Job.objects.filter(pk=job.pk, state=origin).update(state=to, **fields) != 1:
        raise NotAllowedNow(gettext("The job's state has just changed."), job)
    job.refresh_from_db(fields=["state", *fields])
    pace.note_move(job, origin)
    if to in ENDED and origin not in ENDED:
        totals.note_end(job)
    events.record(job, EventKind.STATE_CHANGED, actor=actor, from_state=origin, to_state=to, detail=detail or reason)
