"""Takes deliveries that are due: the oldest of each endpoint, whose lease keeps others from it while it is sent.

A lease is a row's word until a time of the database's clock, held over no lock and no transaction. It ends with the
answer, with its time, or with its holder: what a dead process or a lost host had in hand is taken up again by others.
Each claim raises the fence `lease`, so that who has lost it can tell.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, Subquery

from bulkops.clock import ClockTimestamp, from_now
from bulkops.conf import conf
from bulkops.webhooks.models import Delivery, DeliveryState, Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

ROUND_SECONDS = 60.0
"""Then a process that sends claims no more, and another follows: nothing that goes wrong in one of them lasts."""
MARGIN_SECONDS = 30.0
"""So much longer than its last attempt may take, such a process is left alone; and a lease lasts that longer again."""


@dataclass(frozen=True)
class Claimed:
    """A delivery in hand."""

    endpoint: Endpoint
    delivery: Delivery
    lease: int


def longest_life_seconds() -> float:
    """Of a process that sends: then its leader ends it. A lease lasts longer, so no attempt goes on without one.

    An e-mail may take longer than its time limit, which is one for each word with the mail server.
    """
    return ROUND_SECONDS + conf().webhook_timeout_seconds + MARGIN_SECONDS


def anything_due() -> bool:
    """Whether somebody could send something now; what leaders ask each round. One query."""
    return _free().filter(Exists(_due(OuterRef("pk")))).exists()


def claim(
    cluster_id: int,
    most: int,
    most_failing: int | None = None,
    *,
    most_each: float = math.inf,
    held: Iterable[Any] = (),
) -> list[Claimed]:
    """Take the oldest due delivery of up to so many endpoints, those first that have waited longest.

    Of endpoints that failed the last time `most_failing` at most, and after the others: those that hang do not take all
    places. Nor do those of one owner, who gets `most_each` with what is `held` already, which is named by its owners;
    where that leaves places empty, the next call fills them with what is others'. None for a cluster that counts as
    dead, as one whose leader is frozen: what it holds is free to others. Commits. Locks the endpoints for that moment,
    and passes by those that somebody else has locked.
    """
    places = Counter(held)
    with transaction.atomic():
        first = _due(OuterRef("pk")).order_by().values("endpoint").annotate(first=Min("due")).values("first")
        free = _free().filter(Exists(_alive(cluster_id)), Exists(_due(OuterRef("pk"))))
        free = free.exclude(owner__in=[owner for owner, number in places.items() if number >= most_each])
        free = free.annotate(first=Subquery(first)).order_by("first", "pk")
        # Locked without the holder's row, and looked at again by PostgreSQL once it has the lock.
        lockable = free.select_for_update(skip_locked=True, no_key=True, of=("self",))
        locked = list(lockable.filter(failing_since=None)[:most])
        left = most - len(locked)
        left = left if most_failing is None else min(left, most_failing)
        if left > 0:
            locked += lockable.filter(failing_since__isnull=False)[:left]
        found = []
        for endpoint in locked:
            if places[endpoint.owner_id] < most_each and (one := _take(endpoint, cluster_id)) is not None:
                found.append(one)
                places[endpoint.owner_id] += 1
    return found


def _take(endpoint: Endpoint, cluster_id: int) -> Claimed | None:
    # In a statement after the lock, since somebody may have delivered it while this one waited.
    delivery = _due(endpoint.pk).order_by("due", "created_at", "pk").select_related("endpoint__owner").first()
    if delivery is None:
        return None
    until = from_now(longest_life_seconds() + MARGIN_SECONDS)
    Endpoint.objects.filter(pk=endpoint.pk).update(lease=F("lease") + 1, leased_until=until, holder=cluster_id)
    return Claimed(delivery.endpoint, delivery, endpoint.lease + 1)


def let_go(claimed: Claimed) -> None:
    """End a lease, if it is still this one, in the caller's transaction."""
    held = Endpoint.objects.filter(pk=claimed.endpoint.pk, lease=claimed.lease)
    held.update(leased_until=None, holder=None)


def let_go_all(cluster_id: int) -> None:
    """End the leases of a cluster whose process that sends is gone. Commits by itself."""
    Endpoint.objects.filter(holder=cluster_id).update(leased_until=None, holder=None)


def _alive(cluster_id: int) -> QuerySet[Any]:
    clusters = apps.get_model("bulkops", "Cluster").objects  # its module imports this package's models
    return clusters.filter(pk=cluster_id, alive_until__gt=ClockTimestamp())


def _free() -> QuerySet[Endpoint]:
    unheld = Q(leased_until=None) | Q(leased_until__lte=ClockTimestamp())
    gone = Q(holder=None) | Q(holder__alive_until__lte=ClockTimestamp())
    rested = Q(not_before=None) | Q(not_before__lte=ClockTimestamp())
    return Endpoint.objects.filter(unheld | gone).filter(rested, disabled_at=None)


def _due(endpoint: Any) -> QuerySet[Delivery]:
    return Delivery.objects.filter(endpoint=endpoint, state=DeliveryState.PENDING, due__lte=ClockTimestamp())
