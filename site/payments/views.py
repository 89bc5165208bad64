"""The provider's HTTP interface: POST JSON to `refunds/`, with an idempotency key."""

import errno
import json
import re
import time
from typing import Any, NoReturn

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from payments import ledger
from payments.ledger import Answer, Wanted, problem
from payments.luck import luck_of
from payments.models import KEY_CHARS, ORDER_CHARS, Ask, Conduct

LARGEST_AMOUNT = 10_000_000
IN_WORDS = {429: ("busy", "Too many requests; ask again later."), 503: ("down", "Down for a moment; ask again later.")}


class Malformed(Exception):
    """What came in can't be understood."""


@csrf_exempt
@require_POST
def refunds(request: HttpRequest) -> HttpResponseBase:
    """Give money back. With `?keys=ignored` it behaves like a provider that knows no idempotency keys."""
    if not constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {settings.PROVIDER_KEY}"):
        return _as_response(problem(401, "not-authenticated", "The API key is missing or wrong."))
    keyed = request.GET.get("keys") != "ignored"
    try:
        wanted = _read(request, keyed=keyed)
    except Malformed as error:
        return _as_response(problem(400, "malformed", str(error)))
    ask = Ask.objects.create(key=wanted.key, order_number=wanted.order_number, amount=wanted.amount)
    conduct = Conduct.current()
    before = Ask.objects.filter(order_number=wanted.order_number, pk__lt=ask.pk).count()
    luck = luck_of(conduct, wanted.order_number, before)
    # Half of the way to the effect and half of it back, so that whoever dies meanwhile dies on either side of it.
    time.sleep(luck.latency_seconds / 2)
    if luck.trouble:
        answer = problem(luck.trouble, *IN_WORDS[luck.trouble])
        ledger.record(ask, answer)
        return _as_response(answer, {"Retry-After": str(conduct.retry_after_seconds)})
    answer = (ledger.settle if keyed else ledger.settle_without_key)(ask, wanted, luck.refusal)
    time.sleep(luck.latency_seconds / 2)
    if luck.cut:
        Ask.objects.filter(pk=ask.pk).update(cut=True)
        # gunicorn closes the connection without a word where the body's first piece ends like this.
        return StreamingHttpResponse(map(_cut, [b""]))
    return _as_response(answer)


def _cut(_: bytes) -> NoReturn:
    raise ConnectionResetError(errno.ECONNRESET, "cut on purpose")


def _as_response(answer: Answer, headers: dict[str, str] | None = None) -> JsonResponse:
    return JsonResponse(answer.body, status=answer.status, headers=headers)


def _read(request: HttpRequest, *, keyed: bool) -> Wanted:
    key = request.headers.get("Idempotency-Key", "").strip(' "')
    if keyed and not (0 < len(key) <= KEY_CHARS and key.isascii() and key.isprintable()):
        raise Malformed("The header Idempotency-Key must be 1 to 255 visible characters.")
    try:
        body: Any = json.loads(request.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Malformed("The body must be a JSON object.")
    order, amount, reason = body.get("order"), body.get("amount"), body.get("reason", "")
    if not (_is_text(order, ORDER_CHARS) and order):
        raise Malformed("“order” must be the order's number.")
    if not isinstance(amount, int) or isinstance(amount, bool) or not 0 < amount <= LARGEST_AMOUNT:
        raise Malformed(f"“amount” must be a whole number of cents from 1 to {LARGEST_AMOUNT:,}.")
    if not _is_text(reason, 200):
        raise Malformed("“reason” must be a text of at most 200 characters.")
    return Wanted(key=key[:KEY_CHARS], order_number=order, amount=amount, reason=reason)


def _is_text(value: Any, most: int) -> bool:
    # A NUL or half of a surrogate pair is no text to the database.
    return isinstance(value, str) and len(value) <= most and not re.search("[\x00\ud800-\udfff]", value)
