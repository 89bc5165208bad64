"""Changing the speed limit of a job while it is active."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext

from bulkops import events, holds, pace, permits, registry, wording
from bulkops.exceptions import NotAllowedNow, UnknownOperation
from bulkops.operation import allowed_rate
from bulkops.services.locking import controlled
from bulkops.states import ENDED, EventKind

if TYPE_CHECKING:
    from bulkops.models import Job


def set_rate(*, job: Job, rate: float | None, actor: Any) -> Job:
    """Let all workers of the job together begin so many items a second at most; None: as fast as the operation allows.

    It counts from the next item on: workers end their slice after the item in hand, and turns that wait for the old
    limit are sent anew. Raises InvalidRate, NotAllowedNow for a job that has ended, and NotPermitted.
    """
    try:
        operation = registry.get(job.operation)
    except UnknownOperation:
        operation = None
    rate = allowed_rate(operation, rate)
    with controlled(job, actor) as locked:
        if locked.state in ENDED:
            raise NotAllowedNow(gettext("This job has ended already."), locked)
        if rate == locked.rate_per_second:
            return locked
        with wording.english():
            told = f"{permits.in_words(rate)}; before: {permits.in_words(locked.rate_per_second)}"
        permits.change(locked, rate)
        pace.begin_anew(locked)
        events.record(locked, EventKind.RATE_CHANGED, actor=actor, detail=told)
        holds.nudge(locked)
        holds.send_delayed_turns_again(locked)
        return locked
