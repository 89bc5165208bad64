"""The demo's data, and a job to watch."""

from datetime import UTC, datetime
from typing import Any

from bulkops import ActiveJobExists, submit
from bulkops.models import Job
from ticketing.models import Event, Order, Ticket
from ticketing.operations import Issue

SEATS = 1_000
"""Tickets of each event."""
ORDERS = 500
"""Orders of each event."""
EVENTS = (
    ("AUR", "Aurora Strings", "Old Customs House", datetime(2027, 3, 6, 19, 30, tzinfo=UTC), 4_800),
    ("BLU", "Blue Hour Trio", "Harbour Cellar", datetime(2027, 3, 19, 21, 0, tzinfo=UTC), 2_900),
    ("CIR", "Circus Under Glass", "Winter Garden", datetime(2027, 4, 10, 15, 0, tzinfo=UTC), 3_600),
    ("DRM", "Drums of the Delta", "Riverside Arena", datetime(2027, 5, 1, 20, 0, tzinfo=UTC), 5_500),
    ("ECH", "Echoes: Film Music Live", "Concert Hall", datetime(2027, 5, 22, 19, 0, tzinfo=UTC), 6_200),
    ("FJO", "Fjord Light", "Lakeside Stage", datetime(2027, 6, 12, 18, 0, tzinfo=UTC), 4_100),
)


def load() -> dict[str, int]:
    """Make the demo's events, tickets and orders where they are missing; what is there stays as it is.

    Says how many of each the demo has.
    """
    tickets, orders = [], []
    for prefix, name, venue, starts_at, price in EVENTS:
        event, _ = Event.objects.get_or_create(name=name, starts_at=starts_at, defaults={"venue": venue})
        for number in range(SEATS):
            row, seat = divmod(number, 25)
            # The front rows cost more: 20 cents a row.
            tickets.append(
                Ticket(
                    event=event,
                    code=f"{prefix}-{number + 1:05}",
                    seat=f"{row + 1}-{seat + 1}",
                    price=price + 20 * (SEATS // 25 - 1 - row),
                    holder_email=f"guest{number + 1}@example.org",
                )
            )
        orders += [
            Order(
                event=event,
                number=f"{prefix}-ORDER-{number + 1:04}",
                buyer_email=f"guest{number + 1}@example.org",
                amount=price * (1 + number % 4),
            )
            for number in range(ORDERS)
        ]
    Ticket.objects.bulk_create(tickets, batch_size=1_000, ignore_conflicts=True)
    Order.objects.bulk_create(orders, batch_size=1_000, ignore_conflicts=True)
    return {"events": len(EVENTS), "tickets": len(tickets), "orders": len(orders)}


def start_job(user: Any) -> Job:
    """A job that makes the image of every ticket; the user's active job if there is one.

    Loads the demo's data where it is missing. Raises NotPermitted.
    """
    if not Ticket.objects.exists():
        load()
    # Named one by one, because those that were issued before are to be drawn again: the bar is what counts.
    numbers = Ticket.objects.values_list("pk", flat=True)
    try:
        return submit(user=user, operation=Issue.name, items=numbers.iterator(), name="Demo: draw every ticket")
    except ActiveJobExists as refusal:
        return refusal.job
