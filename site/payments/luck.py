"""What a request meets: the same for the same seed, order and number of earlier requests, whatever the key."""

from dataclasses import dataclass
from random import Random

from payments.models import Conduct

REFUSALS = (
    (402, "card-expired", "The card has expired."),
    (409, "disputed", "The payment is disputed; the bank decides."),
    (422, "account-closed", "The buyer's account is closed."),
)


@dataclass(frozen=True, kw_only=True)
class Luck:
    """Of one request."""

    latency_seconds: float
    trouble: int
    """429, 503, or 0."""
    cut: bool
    refusal: tuple[int, str, str] | None
    """Status, name and words; it belongs to the order, so asking again does not help."""


def luck_of(conduct: Conduct, order_number: str, asked_before: int) -> Luck:
    """Draw it."""
    # No secret hangs on these: they are to be foreseen.
    of_request = Random(f"{conduct.seed}:{order_number}:{asked_before}")  # noqa: S311
    of_order = Random(f"{conduct.seed}:{order_number}")  # noqa: S311
    draw = of_request.random()
    busy, down = draw < conduct.busy, conduct.busy <= draw < conduct.busy + conduct.down
    return Luck(
        latency_seconds=conduct.latency_ms / 1000 * of_request.uniform(0.5, 1.5),
        trouble=429 if busy else 503 if down else 0,
        cut=of_request.random() < conduct.cut,
        refusal=of_order.choice(REFUSALS) if of_order.random() < conduct.refused else None,
    )
