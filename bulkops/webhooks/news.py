"""How webhooks fare, for operators: what waits to be sent, which endpoints fail or were switched off. Only reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, Min, Q

from bulkops.clock import database_now
from bulkops.webhooks.models import Delivery, DeliveryState, Endpoint
from bulkops.webhooks.registering import BY_OWNER

if TYPE_CHECKING:
    from datetime import datetime

SHOWN = 10
SWITCHED_OFF_FOR = timedelta(days=7)
"""Later, an endpoint that was switched off is no news."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """An endpoint that does not take what is sent to it."""

    owner: str
    where: str
    since: datetime
    switched_off: str
    """Why it was; empty while it is still tried."""


@dataclass(frozen=True, kw_only=True)
class WebhookNews:
    """Everything at one moment."""

    waiting: int
    late_seconds: float | None
    """For how long the first of those that are due has been due; None where none is."""
    troubles: list[Trouble]


def now() -> WebhookNews:
    """Look; three queries, whatever was sent before."""
    moment = database_now()
    waiting = Delivery.objects.filter(state=DeliveryState.PENDING, endpoint__disabled_at=None)
    counted = waiting.aggregate(number=Count("pk"), first=Min("due"))
    late = None if counted["first"] is None else (moment - counted["first"]).total_seconds()
    failing = Q(disabled_at=None, failing_since__isnull=False)
    off = Q(disabled_at__gt=moment - SWITCHED_OFF_FOR) & ~Q(disabled_reason=BY_OWNER)
    found = Endpoint.objects.filter(failing | off).select_related("owner").order_by("failing_since", "pk")[:SHOWN]
    return WebhookNews(
        waiting=counted["number"],
        late_seconds=late if late is not None and late > 0 else None,
        troubles=[_trouble(one) for one in found],
    )


def remarks() -> list[str]:
    """What an operator should know, in a sentence; nothing while every endpoint takes what is sent to it."""
    found = now()
    if not found.troubles:
        return []
    places = ", ".join(f"{one.where} of {one.owner}" for one in found.troubles)
    deliveries = "1 delivery waits" if found.waiting == 1 else f"{found.waiting:,} deliveries wait"
    return [f"Webhooks that fail or were switched off: {places}; {deliveries}. More: manage.py webhooks"]


def _trouble(endpoint: Endpoint) -> Trouble:
    return Trouble(
        owner=endpoint.owner.get_username(),
        where=str(endpoint),
        since=endpoint.disabled_at or endpoint.failing_since or endpoint.created_at,
        switched_off=(endpoint.disabled_reason or "switched off") if endpoint.disabled_at else "",
    )
