"""`manage.py webhooks`: lists endpoints, whether they answer, and what the last attempt came to. Shows no secret."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.db.models import Count, OuterRef, Q, Subquery

from bulkops.management.terminal import TerminalCommand, find_user, printable, table
from bulkops.models import DeliveryAttempt, Endpoint
from bulkops.webhooks import registering
from bulkops.webhooks.models import DeliveryState, Kind

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

HEAD = ("OWNER", "ADDRESS", "EVENTS", "STATE", "WAITING", "FAILED", "LAST ATTEMPT")


class Command(TerminalCommand):
    """The oldest first."""

    help = "List webhooks: where to, whether they answer, what waits, and the last attempt."

    def add_arguments(self, parser: CommandParser) -> None:
        """Everybody's, or one user's."""
        parser.add_argument("--user", metavar="NAME", help="only this user's")
        parser.add_argument("--json", action="store_true", help="a list of objects")

    def handle(self, **options: Any) -> None:
        """Read them, and print them."""
        found = Endpoint.objects.filter(kind=Kind.WEBHOOK)
        if options["user"]:
            found = registering.of_user(find_user(options["user"]))
        counted = found.select_related("owner").annotate(
            waiting=Count("deliveries", Q(deliveries__state=DeliveryState.PENDING)),
            failed=Count("deliveries", Q(deliveries__state=DeliveryState.FAILED)),
            newest=Subquery(
                DeliveryAttempt.objects.filter(delivery__endpoint=OuterRef("pk")).order_by("-pk").values("pk")[:1]
            ),
        )
        counted = counted.order_by("created_at", "pk")  # a model's own order does not hold where rows are counted
        attempts = DeliveryAttempt.objects.defer("answer").in_bulk([one.newest for one in counted if one.newest])
        rows = [as_object(one, attempts.get(one.newest)) for one in counted]
        if options["json"]:
            self.stdout.write(json.dumps(rows, ensure_ascii=False, indent=2, default=str))
        elif rows:
            self.stdout.write(table(HEAD, [_row(one) for one in rows]))
        else:
            self.note("There is no webhook. Users make them at /webhooks/ or over the API.")


def as_object(endpoint: Any, last: DeliveryAttempt | None) -> dict[str, Any]:
    """One endpoint as JSON types, with its last attempt."""
    return {
        "id": str(endpoint.pk),
        "owner": endpoint.owner.get_username(),
        "url": endpoint.url,
        "events": endpoint.events,
        "enabled": endpoint.disabled_at is None,
        "disabled_reason": endpoint.disabled_reason,
        "failing_since": endpoint.failing_since,
        "waiting": endpoint.waiting,
        "failed": endpoint.failed,
        "last_attempt": None if last is None else {"at": last.at, "status": last.status, "error": last.error},
    }


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    state = "on" if one["enabled"] else f"off: {one['disabled_reason']}"
    if one["enabled"] and one["failing_since"]:
        state = f"failing since {one['failing_since']:%Y-%m-%d %H:%M}"
    last = one["last_attempt"]
    said = "-" if last is None else f"{last['at']:%Y-%m-%d %H:%M:%S} {last['error'] or 'delivered'}"
    words = (one["owner"], one["url"], ", ".join(one["events"]), state, str(one["waiting"]), str(one["failed"]), said)
    return tuple(map(printable, words))
