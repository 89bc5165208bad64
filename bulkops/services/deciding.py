"""Deciding what became of an item in doubt: a person has looked into the other system and says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext

from bulkops import doubt, events, lineage, storable
from bulkops.conf import conf
from bulkops.exceptions import InvalidSubmission, NotAllowedNow
from bulkops.models import Outcome
from bulkops.services.locking import controlled
from bulkops.states import EventKind, OutcomeState

if TYPE_CHECKING:
    from bulkops.models import Job

DECISIONS = {"done": OutcomeState.SUCCEEDED, "failed": OutcomeState.FAILED}
_MARK = "Decided as {}"


def decide(*, job: Job, position: int, decision: str, actor: Any, reason: str = "") -> Outcome:
    """Settle an item in doubt as done or failed; return its outcome. To have it tried again, retry the job instead.

    One transaction, which locks the job and then the item's chunk; allowed in every state of the job. A job that had
    ended with errors, none of which is left, becomes completed. Raises InvalidSubmission for another decision,
    NotPermitted, and NotAllowedNow where the item is not in doubt or another job has taken it.
    """
    to = DECISIONS.get(decision)
    if to is None:
        raise InvalidSubmission(gettext("An item in doubt can be decided as done or as failed."))
    if not 0 <= position <= 2**31 - 1:
        raise NotAllowedNow(gettext("Item %(position)s is not in doubt.") % {"position": position}, job)
    with controlled(job, actor) as locked:
        outcome = doubt.find(locked.pk, position)
        if outcome is None or outcome.state != OutcomeState.IN_DOUBT:
            raise NotAllowedNow(gettext("Item %(position)s is not in doubt.") % {"position": position}, locked)
        if lineage.is_taken(locked, position):
            child = lineage.newest_child(locked, lineage.IN_DOUBT)
            raise NotAllowedNow(
                gettext("Item %(position)s is tried again by job %(job)s.")
                % {"position": position, "job": child.pk if child else "?"},
                child,
            )
        why = storable.text(reason.strip(), conf().message_chars)
        told = f"{_MARK.format(decision)}{f': {why}' if why else ''}. Before: {outcome.message}"
        events.record(
            locked, EventKind.DECIDED, actor=actor, detail=f"Item {position}: {decision}{f', {why}' if why else ''}"
        )
        doubt.settle(
            locked,
            position,
            to,
            actor=actor,
            error_code="" if to == OutcomeState.SUCCEEDED else outcome.error_code,
            message=storable.text(told, conf().message_chars),
            grouped_by=f"{_MARK.format(decision)}. Before: {outcome.message}",  # whatever the reason
        )
        outcome.refresh_from_db()
        return outcome


def is_decided(*, job: Job, position: int, decision: str) -> bool:
    """Whether somebody has decided just this of the item already: the press was the second, and changes nothing."""
    outcome = Outcome.objects.filter(job=job, position=position, state=DECISIONS.get(decision)).first()
    return outcome is not None and outcome.message.startswith(_MARK.format(decision))
