"""Asks the payment provider over HTTP, and says what its answers mean for the order.

Whatever comes back is one of six: done; refused, in its words; not now (bulkops.RetryAfter); not served; not reached,
so nothing was asked; or unclear, so it may have been done.
"""

from __future__ import annotations

import json
import os
import time
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.conf import settings

from bulkops import RetryAfter

if TYPE_CHECKING:
    import httpx  # whose import takes longer than a short command; so who asks imports it

TIMEOUT = {"connect": 3.0, "read": 10.0, "write": 10.0, "pool": 3.0}
ANSWER_SECONDS = 15.0
"""For all of an answer's body, however slowly it drips."""
LARGEST_ANSWER = 65_536
LONGEST_WORDS = 500
LONGEST_REFERENCE = 64
REFUSALS = (HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)
NOT_NOW = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class ProviderAway(Exception):
    """The provider was not reached, so nothing was asked."""


class Unclear(Exception):
    """The provider was asked, and whether it did it is not known."""


class Refused(Exception):
    """The provider said no to this order, in its own words."""


class NotServed(Exception):
    """The provider did nothing because of how it was asked: the API key, the address, the request's form."""


def is_named() -> bool:
    """Whether this site has a payment provider."""
    return bool(settings.PROVIDER_URL)


def refund(order: str, amount: int, reason: str, *, key: str, address: str = "refunds/") -> str:
    """Ask to give the amount (in cents) back; the refund's reference at the provider.

    Raises Refused, RetryAfter, NotServed, ProviderAway or Unclear. After the last, asking again with the same key is
    safe where the provider honours keys.
    """
    import httpx

    client = _client(os.getpid(), settings.PROVIDER_URL, settings.PROVIDER_KEY)
    body = {"order": order, "amount": amount, "reason": reason}
    try:
        with client.stream("POST", address, json=body, headers={"Idempotency-Key": key}) as response:
            return _meaning(response, _read(response))
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise ProviderAway(f"The payment provider can't be reached ({_words(error)}).") from error
    except httpx.HTTPError as error:
        raise Unclear(f"The payment provider was asked, and no answer came back ({_words(error)}).") from error


# Sockets must not be shared with the process that this one was forked from: hence the number.
@lru_cache(maxsize=1)
def _client(_process: int, url: str, key: str) -> httpx.Client:
    import httpx

    return httpx.Client(
        base_url=url,
        # Compressed, a small answer could unpack to a huge one.
        headers={"Accept": "application/json", "Accept-Encoding": "identity"}
        | ({"Authorization": f"Bearer {key}"} if key else {}),
        timeout=httpx.Timeout(**TIMEOUT),
        # Shorter than what web servers keep an idle connection for: one closed as it is used looks like a lost answer.
        limits=httpx.Limits(max_connections=1, keepalive_expiry=1.0),
        follow_redirects=False,
        trust_env=False,
    )


def _read(response: httpx.Response) -> bytes:
    ends, body = time.monotonic() + ANSWER_SECONDS, b""
    for piece in response.iter_raw():
        body += piece
        if len(body) > LARGEST_ANSWER:
            raise Unclear(f"The payment provider's answer ({_status(response)}) is too long to be read.")
        if time.monotonic() > ends:
            raise Unclear(f"The payment provider's answer ({_status(response)}) does not come to its end.")
    return body


def _meaning(response: httpx.Response, body: bytes) -> str:
    try:
        said: Any = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    said = said if isinstance(said, dict) else {}
    if response.status_code in NOT_NOW:
        raise RetryAfter(response.headers.get("Retry-After"), f"The payment provider answered {_status(response)}.")
    if response.is_client_error:
        detail = said.get("detail")
        words = detail[:LONGEST_WORDS] if isinstance(detail, str) else ""
        if response.status_code in REFUSALS:
            raise Refused(words or _status(response))
        raise NotServed(f"The payment provider answered {_status(response)}. {words}".strip())
    reference = said.get("id")
    if response.is_success and _is_reference(reference):
        return reference
    # A gateway's 502 or 504, a redirect, a page of HTML: behind any of them it may have been done.
    raise Unclear(f"The payment provider answered {_status(response)}, which does not say what was done.")


def _is_reference(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_REFERENCE and value.isascii() and value.isprintable()


def _status(response: httpx.Response) -> str:
    return f"{response.status_code} {response.reason_phrase}".strip()


def _words(error: httpx.HTTPError) -> str:
    return str(error)[:LONGEST_WORDS].rstrip(".") or type(error).__name__
