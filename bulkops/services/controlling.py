"""Stopping a job and letting it go on: cancel, pause, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext

from bulkops import events, failures, holds, storable, transitions
from bulkops.conf import conf
from bulkops.exceptions import NotAllowedNow
from bulkops.services.locking import controlled
from bulkops.states import ENDED, STOPPING, WORKABLE, EventKind, JobState

if TYPE_CHECKING:
    from bulkops.models import Job


def cancel(*, job: Job, actor: Any, reason: str = "", force: bool = False) -> Job:
    """Stop a job for good; what was done stays done. A worker with an item in hand ends that item first.

    Settles at once where no worker holds anything. Asking again only settles, where the worker that was waited for has
    died since. `force`, for an item that hangs: takes what workers have in hand away from them, so that the job settles
    at once; an item in hand stays unprocessed, or is in doubt where it must not be begun twice. Raises NotAllowedNow
    for a job that has ended otherwise, and NotPermitted. `actor` None is the shell.
    """
    why = storable.text(reason.strip(), conf().message_chars)
    with controlled(job, actor) as locked:
        if locked.state in ENDED - {JobState.CANCELLED}:
            raise NotAllowedNow(gettext("This job has ended already."), locked)
        if force:
            _force(locked, why, actor)
        if locked.state in {JobState.CANCELLING, JobState.CANCELLED}:
            holds.settle_stop(locked)
            return locked
        events.record(locked, EventKind.CANCEL_REQUESTED, actor=actor, detail=why)
        holds.ask_to_stop(locked)
        if holds.any_held(locked) or (locked.started_at is not None and holds.is_complete(locked)):
            transitions.move(locked, JobState.CANCELLING, actor=actor, cancel_reason=why)
            return locked
        holds.withdraw_turns(locked)
        transitions.move(locked, JobState.CANCELLED, actor=actor, cancel_reason=why)
        return locked


def _force(job: Job, why: str, actor: Any) -> None:
    """Of a complete job nothing hangs in a worker's hand; its finish is left to run."""
    if not holds.is_complete(job):
        holds.force(job, why, actor=actor)


def pause(*, job: Job, actor: Any, reason: str = "", force: bool = False) -> Job:
    """Let a job stand still until it is resumed; it keeps its slot. A worker ends the item in hand first.

    Asking again only settles, and `force` does what it does in `cancel`. Raises NotAllowedNow for a job that has ended,
    is being cancelled or has only its finish left, and NotPermitted.
    """
    why = storable.text(reason.strip(), conf().message_chars)
    with controlled(job, actor) as locked:
        asked_before = locked.state in {JobState.PAUSING, JobState.PAUSED}
        if not asked_before and (locked.state not in WORKABLE or holds.is_complete(locked)):
            raise NotAllowedNow(gettext("This job cannot be paused any more."), locked)
        if force:
            _force(locked, why, actor)
        if asked_before:
            holds.settle_stop(locked)
            return locked
        holds.pause(locked, why, actor=actor)
        return locked


def resume(*, job: Job, actor: Any, reason: str = "") -> Job:
    """Let a paused job go on where it stood. Raises NotAllowedNow for a job that is not paused, and NotPermitted."""
    with controlled(job, actor) as locked:
        holds.settle_stop(locked)
        if locked.state in STOPPING or locked.state != JobState.PAUSED:
            raise NotAllowedNow(gettext("Only a paused job can be resumed."), locked)
        holds.ask_to_stop(locked, stop=False)
        failures.begin_anew(locked)
        if locked.total is None:
            to = JobState.PREPARING
        else:
            to = JobState.QUEUED if locked.started_at is None else JobState.RUNNING
        transitions.move(locked, to, actor=actor)
        why = storable.text(reason.strip(), conf().message_chars)
        events.record(locked, EventKind.RESUMED, actor=actor, detail=why)
        holds.send_turns(locked, first=True)
        return locked
