"""Makes one attempt over HTTP. Addresses are checked where they are connected to, and redirects are not followed.

It stands on httpcore, which need not be installed where nobody has endpoints.
"""

from __future__ import annotations

import time
from http import HTTPStatus

from django.utils.translation import gettext_noop as _

from bulkops import storable
from bulkops.conf import conf
from bulkops.exceptions import BulkopsError, RetryAfter
from bulkops.outbound import places
from bulkops.webhooks import signing
from bulkops.webhooks.models import ANSWER_CHARS, ERROR_CHARS
from bulkops.webhooks.saying import Said

try:
    from bulkops.outbound import asking
except ModuleNotFoundError:
    asking = None  # type: ignore[assignment]

MOST_BYTES = 16 * 1024
"""Of an answer's body; the rest is not read."""
BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
NOT_INSTALLED = _("This site cannot send webhooks: the packages httpx and httpcore are not installed.")

NOT_ENCRYPTED = _("The address must begin with https://, so that nobody on the way can read it.")


def is_possible() -> bool:
    """Whether what this stands on is installed."""
    return asking is not None


def post(url: str, message_id: str, body: str, secrets_in_force: list[str]) -> Said:
    """One attempt, within `webhook_timeout_seconds`; touches no database, and raises nothing that it could tell."""
    if asking is None:
        return Said(0.0, NOT_INSTALLED)
    if not url.lower().startswith("https:") and not conf().webhook_plain_http:
        return Said(0.0, NOT_ENCRYPTED)  # it was allowed when the endpoint was made
    content, moment = body.encode(), int(time.time())
    headers = [
        ("Content-Type", "application/json"),
        ("User-Agent", "bulkops"),
        ("webhook-id", message_id),
        ("webhook-timestamp", str(moment)),
        ("webhook-signature", signing.signature(secrets_in_force, message_id, moment, content)),
    ]
    began = time.monotonic()
    try:
        answer = asking.ask(
            "POST",
            url,
            headers=headers,
            body=content,
            timeout_seconds=conf().webhook_timeout_seconds,
            most_bytes=MOST_BYTES,
            # Whoever registered it chose the host; which addresses may be behind it, the site does.
            hosts=(str(places.place_of(url)[0]),),
            networks=tuple(conf().webhook_private_networks),
        )
    except BulkopsError as error:
        return Said(time.monotonic() - began, storable.text(error.message, ERROR_CHARS))
    return _said(answer, time.monotonic() - began)


def _said(answer: asking.Answer, seconds: float) -> Said:
    busy = answer.status in BUSY
    return Said(
        seconds,
        "" if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES else _refusal(answer.status),
        answer.status,
        storable.text(answer.body[: 4 * ANSWER_CHARS].decode("utf-8", "replace"), ANSWER_CHARS),
        RetryAfter(answer.header("retry-after") or None).seconds if busy else 0.0,
    )


def _refusal(status: int) -> str:
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"It answered {status}; redirects are not followed."
    return f"It answered {status}."
