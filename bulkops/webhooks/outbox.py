"""Writes what is to be sent, in the transaction of what it tells: told if and only if it happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection

from bulkops.clock import ClockTimestamp, from_now
from bulkops.states import ENDED, JobState
from bulkops.webhooks import bodies
from bulkops.webhooks.models import Delivery, Endpoint, Event, Kind

if TYPE_CHECKING:
    from bulkops.models import Job

CHANNEL = "bulkops_outbox"

OF_STATE: dict[str, Event] = {
    JobState.COMPLETED: Event.COMPLETED,
    JobState.COMPLETED_WITH_ERRORS: Event.COMPLETED,
    JobState.FAILED: Event.FAILED,
    JobState.CANCELLED: Event.CANCELLED,
    JobState.PAUSED: Event.PAUSED,
}


# The ORM has no KEY SHARE: a deletion waits for it, however long the caller goes on, and nothing else does. Without it
# an endpoint that is deleted meanwhile would be missed at the commit, and a job could not end for that.
_TO_TELL = """
SELECT id, kind, events, owner_id FROM bulkops_endpoint WHERE owner_id = %s AND disabled_at IS NULL
ORDER BY created_at, id FOR KEY SHARE
"""


def note(job: Job, *, origin: str, state: str) -> None:
    """Have the owner's endpoints told that the job came from one state into another, where they want to be.

    One query for an owner who has none. Keeps the endpoints from being deleted until the caller commits. A job ends
    once: a doubt that is settled later is no news here.
    """
    event = OF_STATE.get(state)
    if event is None or origin in ENDED:
        return
    known = Endpoint.objects.raw(_TO_TELL, [job.owner_id])
    wanting = [one for one in known if _wants(one, event, job)]
    if wanting:
        body = bodies.of_job(event, job)
        Delivery.objects.bulk_create([_delivery(one, event, body, job=job) for one in wanting])
        wake()


def write(endpoint: Endpoint, event: Event, body: str) -> Delivery:
    """One delivery that is of no job, due at once."""
    delivery = _delivery(endpoint, event, body)
    delivery.save(force_insert=True)
    delivery.refresh_from_db(fields=["due"])
    wake()
    return delivery


def wake() -> None:
    """Tell the leaders, once the caller's transaction commits, that something may be due."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, '')", [CHANNEL])


def address_of(user: Any) -> str:
    """A user's e-mail address; empty where there is none."""
    return getattr(user, user.get_email_field_name(), "") or ""


def email_endpoint(user: Any) -> Endpoint:
    """What sends e-mails to this user; made when it is first needed."""
    return Endpoint.objects.get_or_create(owner=user, kind=Kind.EMAIL)[0]


def forget_old(days: float | None) -> None:
    """Delete what belongs to no job and is older than that; the rest goes with its job."""
    if days:
        Delivery.objects.filter(job=None, created_at__lt=from_now(-days * 24 * 3600)).delete()


def _wants(endpoint: Endpoint, event: Event, job: Job) -> bool:
    if endpoint.kind == Kind.EMAIL:
        return job.email_at_end and job.state in ENDED
    return event in endpoint.events


def _delivery(endpoint: Endpoint, event: Event, body: str, job: Job | None = None) -> Delivery:
    due: Any = ClockTimestamp()
    return Delivery(endpoint=endpoint, job=job, event=event, body=body, due=due)
