"""What a user does with endpoints: make, change, rotate, try, delete them, and have a delivery made again.

Each function checks, and writes in a transaction of its own. That the endpoint is the user's, the caller has seen to:
`of_user` has no others.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext

from bulkops import attempts, storable
from bulkops.clock import ClockTimestamp
from bulkops.conf import conf
from bulkops.exceptions import BulkopsError, InvalidSubmission, NotAllowedNow
from bulkops.outbound import NotSendable, addresses, places
from bulkops.webhooks import bodies, calling, outbox, signing
from bulkops.webhooks.models import CHOSEN, DESCRIPTION_CHARS, URL_CHARS, Delivery, DeliveryState, Endpoint, Event, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

ROTATION = timedelta(hours=24)
"""So long after a rotation the former secret signs too."""
FORMER_SECRETS = 2
BY_HAND_PER_MINUTE = 20
BY_OWNER = "Switched off by its owner."


class InvalidEndpoint(InvalidSubmission):
    """The endpoint is not valid."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class EndpointNotAllowed(NotAllowedNow):
    """That cannot be done with this endpoint now."""


class TooManyByHand(BulkopsError):
    """Too many tests and repeats within a minute; wait a moment."""

    code = "rate-limited"

    def __init__(self, seconds: int) -> None:
        super().__init__(gettext("Too many tests and repeats by hand; wait %(n)s s.") % {"n": seconds})
        self.seconds = seconds


def of_user(user: Any) -> QuerySet[Endpoint]:
    """The user's own endpoints; other people's do not exist."""
    return Endpoint.objects.filter(owner=user.pk, kind=Kind.WEBHOOK)


def create(*, owner: Any, url: str, events: Iterable[str], description: str = "") -> Endpoint:
    """A new endpoint; its `secret` is shown to its owner now and never again.

    Raises InvalidEndpoint, or EndpointNotAllowed where the owner has as many as may be, or nothing can be sent.
    """
    if not calling.is_possible():
        raise EndpointNotAllowed(gettext(calling.NOT_INSTALLED))
    made = Endpoint(
        owner=owner,
        url=checked_url(url),
        events=_checked_events(events),
        description=storable.text(description, DESCRIPTION_CHARS),
        secret=signing.new_secret(),
    )
    if of_user(owner).count() >= conf().webhook_endpoints:
        raise EndpointNotAllowed(
            gettext("You have %(n)s endpoints already, which is as many as may be.") % {"n": conf().webhook_endpoints}
        )
    made.save(force_insert=True)
    return made


def change(
    endpoint: Endpoint,
    *,
    url: str | None = None,
    events: Iterable[str] | None = None,
    description: str | None = None,
    enabled: bool | None = None,
) -> Endpoint:
    """Change what is given. Switched on again, it gets what waited for it. Raises InvalidEndpoint."""
    changed: dict[str, Any] = {}
    if url is not None:
        changed["url"] = checked_url(url)
    if events is not None:
        changed["events"] = _checked_events(events)
    if description is not None:
        changed["description"] = storable.text(description, DESCRIPTION_CHARS)
    if enabled:
        changed |= {"disabled_at": None, "disabled_reason": "", "failing_since": None, "not_before": None}
    elif enabled is not None and endpoint.disabled_at is None:
        changed |= {"disabled_at": ClockTimestamp(), "disabled_reason": BY_OWNER}
    if changed:
        Endpoint.objects.filter(pk=endpoint.pk).update(**changed)
        if enabled:
            outbox.wake()
        endpoint.refresh_from_db(fields=list(changed))
    return endpoint


def delete(endpoint: Endpoint) -> None:
    """Delete it with its deliveries; what waits for it is not sent.

    Locks it first, so that a job which ends at this moment, and a courier that comes back, write before that or not at
    all.
    """
    with transaction.atomic():
        for locked in Endpoint.objects.select_for_update().filter(pk=endpoint.pk):
            locked.delete()


def rotate(endpoint: Endpoint) -> str:
    """A new secret, which is shown this once; the former one signs too for a day, so that nothing is refused.

    So does the one before it, where that day is not over yet: nobody knows which of them the receiver has.
    """
    with transaction.atomic():
        locked = Endpoint.objects.select_for_update(no_key=True).get(pk=endpoint.pk)
        former = [locked.secret, *locked.former_secrets][:FORMER_SECRETS]
        endpoint.previous_secret = " ".join(secret.removeprefix(signing.PREFIX) for secret in former)
        endpoint.previous_until = timezone.now() + ROTATION
        endpoint.secret = signing.new_secret()
        endpoint.save(update_fields=["secret", "previous_secret", "previous_until"])
    return endpoint.secret


def send_test(endpoint: Endpoint) -> Delivery:
    """Send a `webhook.test`; one that still waits stands for it.

    Raises EndpointNotAllowed where the endpoint is off, and TooManyByHand.
    """
    _check_on(endpoint)
    waiting = endpoint.deliveries.filter(event=Event.TEST, state=DeliveryState.PENDING).first()
    if waiting is None:
        _count(endpoint)
    return waiting or outbox.write(endpoint, Event.TEST, bodies.of_test(Event.TEST, endpoint))


def replay(delivery: Delivery) -> Delivery:
    """Make a delivery again, now, with the same id; where that fails, by the whole schedule.

    Raises EndpointNotAllowed where its endpoint is off, and TooManyByHand.
    """
    _check_on(delivery.endpoint)
    _count(delivery.endpoint)
    with transaction.atomic():
        waiting = Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.PENDING)
        if not waiting.update(due=ClockTimestamp()):
            Delivery.objects.filter(pk=delivery.pk).update(
                state=DeliveryState.PENDING, due=ClockTimestamp(), tries=0, delivered_at=None
            )
        outbox.wake()
    delivery.refresh_from_db()
    return delivery


def checked_url(url: str) -> str:
    """An address to which something may be sent, as far as that can be told without a network. Raises InvalidEndpoint.

    What its name leads to is looked at when it is called, each time.
    """
    if len(url) > URL_CHARS:
        raise InvalidEndpoint("url", gettext("An address has at most %(n)s characters.") % {"n": f"{URL_CHARS:,}"})
    try:
        place, _ = places.place_of(url)
    except NotSendable as error:
        raise InvalidEndpoint("url", error.message) from None
    if place.scheme != "https" and not conf().webhook_plain_http:
        raise InvalidEndpoint("url", gettext(calling.NOT_ENCRYPTED))
    if place.host[-1].isdigit() or ":" in place.host:  # an address in place of a name; no name ends in a digit's label
        why = addresses.refusal(place.host, tuple(conf().webhook_private_networks))
        if why and why != "is no address":
            raise InvalidEndpoint(
                "url", gettext("%(host)s %(why)s, so nothing is sent there.") % {"host": place.host, "why": why}
            )
    return url


def _checked_events(events: Iterable[str]) -> list[str]:
    wanted = set(events)
    if not wanted or wanted - set(CHOSEN):
        raise InvalidEndpoint("events", gettext("Choose at least one of %(chosen)s.") % {"chosen": ", ".join(CHOSEN)})
    return [str(event) for event in CHOSEN if event in wanted]


def _count(endpoint: Endpoint) -> None:
    """Nobody is to send endless requests to others by this site's hand."""
    if seconds := attempts.count("a webhook by hand", endpoint.owner_id, most=BY_HAND_PER_MINUTE, seconds=60):
        raise TooManyByHand(seconds)


def _check_on(endpoint: Endpoint) -> None:
    if endpoint.disabled_at is not None:
        raise EndpointNotAllowed(gettext("This endpoint is switched off; switch it on first."))
