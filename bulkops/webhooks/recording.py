"""Keeps what came of an attempt: delivered, tried again later, or given up, and what that means for its endpoint."""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import F

from bulkops import tallies
from bulkops.clock import ClockTimestamp, database_now, from_now
from bulkops.conf import conf
from bulkops.histograms import CALL_SECONDS, Histogram
from bulkops.tallies import Count
from bulkops.webhooks import bodies, claiming, outbox
from bulkops.webhooks.models import Delivery, DeliveryAttempt, DeliveryState, Endpoint, Event, Kind

if TYPE_CHECKING:
    from bulkops.webhooks.claiming import Claimed
    from bulkops.webhooks.saying import Said

logger = logging.getLogger("bulkops.webhooks")

JITTER = 0.1
ATTEMPT, GIVEN_UP = "webhook_attempt", "webhook_given_up"
GONE = "It answered 410 Gone, which means: never again."


def record(claimed: Claimed, said: Said) -> None:
    """Keep an attempt and end its lease, in one transaction that locks the endpoint.

    Where the lease was lost meanwhile, the attempt is kept all the same, and a success counts; what is next is the new
    holder's affair.
    """
    with transaction.atomic():
        locked = Endpoint.objects.select_for_update(no_key=True, of=("self",)).select_related("owner")
        endpoint = locked.filter(pk=claimed.endpoint.pk).first()
        delivery = Delivery.objects.filter(pk=claimed.delivery.pk).first()
        if endpoint is None or delivery is None:
            return  # deleted meanwhile
        DeliveryAttempt.objects.create(
            delivery=delivery, seconds=said.seconds, status=said.status, error=said.error, answer=said.answer
        )
        tallies.add(_counted(endpoint, said))
        if not said.error:
            _delivered(endpoint, delivery)
        elif endpoint.lease == claimed.lease:
            _failed(endpoint, delivery, said)
        claiming.let_go(claimed)
    logger.info(
        "delivery=%s endpoint=%s event=%s seconds=%.3f",
        claimed.delivery.pk,
        claimed.endpoint.pk,
        "attempt_failed" if said.error else "delivered",
        said.seconds,
    )


def _counted(endpoint: Endpoint, said: Said) -> Count:
    taken = Histogram(CALL_SECONDS)
    taken.observe(said.seconds)
    return Count.of(ATTEMPT, (endpoint.kind, "failed" if said.error else "delivered"), taken)


def _delivered(endpoint: Endpoint, delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(
        state=DeliveryState.DELIVERED, due=None, tries=F("tries") + 1, delivered_at=ClockTimestamp()
    )
    if endpoint.failing_since or endpoint.not_before:
        Endpoint.objects.filter(pk=endpoint.pk).update(failing_since=None, not_before=None)


def _failed(endpoint: Endpoint, delivery: Delivery, said: Said) -> None:
    waits = conf().webhook_retry_seconds
    tries = delivery.tries + 1
    # What was delivered by an attempt whose lease was lost stays so: nothing is left to be tried.
    of_it = {"pk": delivery.pk, "state": DeliveryState.PENDING}
    if tries > len(waits) or said.status == HTTPStatus.GONE:
        if Delivery.objects.filter(**of_it).update(state=DeliveryState.FAILED, due=None, tries=tries):
            tallies.add(Count(GIVEN_UP, (endpoint.kind,), (1,)))
    else:
        # Spread, or all that failed together would come back together.
        wait = waits[tries - 1] * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        Delivery.objects.filter(**of_it).update(due=from_now(max(wait, said.wait_seconds)), tries=tries)
    now = database_now()
    since = endpoint.failing_since or now
    Endpoint.objects.filter(pk=endpoint.pk).update(
        failing_since=since, not_before=from_now(said.wait_seconds) if said.wait_seconds else None
    )
    if endpoint.kind == Kind.EMAIL or endpoint.disabled_at:
        return
    if said.status == HTTPStatus.GONE:
        switch_off(endpoint, GONE)
    elif now - since >= timedelta(days=conf().webhook_failing_days):
        switch_off(endpoint, f"Every attempt since {since:%Y-%m-%d %H:%M} has failed, the last one so: {said.error}")


def switch_off(endpoint: Endpoint, reason: str) -> None:
    """Send nothing there any more until its owner wants it again, whom an e-mail tells, where there is an address.

    What waits for it stays, and goes out when it is switched on. Caller holds the endpoint's lock.
    """
    Endpoint.objects.filter(pk=endpoint.pk).update(disabled_at=ClockTimestamp(), disabled_reason=reason)
    logger.warning("endpoint=%s event=endpoint_disabled", endpoint.pk)
    if outbox.address_of(endpoint.owner):
        letter = bodies.of_disabling(Event.DISABLED, endpoint, reason)
        outbox.write(outbox.email_endpoint(endpoint.owner), Event.DISABLED, letter)
