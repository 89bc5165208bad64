"""Decides what a request is answered and moves the money, at most once for each key."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from payments.models import Ask, FirstAnswer, Refund

KEYS, ORDERS = 1, 2
"""Kinds of locks; always taken in this order."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a request asks for."""

    key: str
    order_number: str
    amount: int
    reason: str

    @property
    def body_digest(self) -> str:
        body = json.dumps([self.order_number, self.amount, self.reason])
        return hashlib.sha256(body.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What it is told."""

    status: int
    body: dict[str, Any]
    repeat: bool = False


def problem(status: int, name: str, detail: str) -> Answer:
    """A no."""
    return Answer(status=status, body={"error": name, "detail": detail})


def settle(ask: Ask, wanted: Wanted, refusal: tuple[int, str, str] | None) -> Answer:
    """Answer a request that bears a key: money, memory and record commit together.

    Requests of one key, and of one order, wait for each other: a repeat may well arrive while the first is in work.
    """
    with transaction.atomic():
        _alone(KEYS, wanted.key)
        _alone(ORDERS, wanted.order_number)
        known = FirstAnswer.objects.filter(pk=wanted.key).first()
        if known is None:
            answer = _first(wanted, refusal)
        elif known.body_digest == wanted.body_digest:
            answer = Answer(status=known.status, body=known.answer, repeat=True)
        else:
            answer = problem(422, "key-reused", "This idempotency key was used for another request.")
        record(ask, answer)
    return answer


def settle_without_key(ask: Ask, wanted: Wanted, refusal: tuple[int, str, str] | None) -> Answer:
    """Answer as a provider does that ignores keys: whatever it is asked, it does, each time."""
    with transaction.atomic():
        answer = problem(*refusal) if refusal else _give_back(wanted, keyed=False)
        record(ask, answer)
    return answer


def record(ask: Ask, answer: Answer) -> None:
    """Complete the request's row."""
    ask.status, ask.repeat = answer.status, answer.repeat
    ask.words = str(answer.body.get("detail") or answer.body.get("id"))
    ask.save(update_fields=["status", "repeat", "words"])


def _first(wanted: Wanted, refusal: tuple[int, str, str] | None) -> Answer:
    if refusal:
        answer = problem(*refusal)
    elif Refund.objects.filter(order_number=wanted.order_number, keyed=True).exists():
        answer = problem(409, "already-refunded", "This order has been refunded already.")
    else:
        answer = _give_back(wanted, keyed=True)
    FirstAnswer.objects.create(key=wanted.key, body_digest=wanted.body_digest, status=answer.status, answer=answer.body)
    return answer


def _give_back(wanted: Wanted, *, keyed: bool) -> Answer:
    refund = Refund.objects.create(
        reference=f"rf_{secrets.token_hex(8)}",
        key=wanted.key,
        keyed=keyed,
        order_number=wanted.order_number,
        amount=wanted.amount,
        reason=wanted.reason,
    )
    return Answer(status=201, body={"id": refund.reference, "order": refund.order_number, "amount": refund.amount})


def _alone(kind: int, name: str) -> None:
    """Wait until no other request of that name is in work. By SQL: there is no row yet that could be locked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [kind, name])
