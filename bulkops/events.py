"""The only writer of the audit trail; each event is also one log line with the job's id and no payload.

What webhooks are to tell of it is written in the same transaction.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from bulkops.conf import conf
from bulkops.models import Event
from bulkops.states import EventKind
from bulkops.storable import text
from bulkops.webhooks import outbox

if TYPE_CHECKING:
    from bulkops.models import Job

logger = logging.getLogger("bulkops.events")


def record(
    job: Job, kind: EventKind, *, actor: Any = None, from_state: str = "", to_state: str = "", detail: str = ""
) -> Event:
    """Write one event in the caller's transaction, and log it."""
    event = Event.objects.create(
        job=job,
        kind=kind,
        actor=actor,
        from_state=from_state,
        to_state=to_state,
        detail=text(detail, conf().message_chars),
    )
    if kind == EventKind.STATE_CHANGED:
        outbox.note(job, origin=from_state, state=to_state)
    logger.info(
        "job=%s operation=%s event=%s from=%s to=%s actor=%s",
        job.pk,
        job.operation,
        kind.value,
        from_state or "-",
        to_state or "-",
        getattr(actor, "pk", None) or "-",
    )
    return event
