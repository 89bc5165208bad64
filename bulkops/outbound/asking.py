"""One request and its answer, within limits of time and size; it stands on httpcore, the lower half of httpx.

What the upper half adds is what would have to be switched off.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import httpcore
from django.core.exceptions import ImproperlyConfigured

from bulkops import packages
from bulkops.conf import conf
from bulkops.outbound.errors import (
    AnswerLost,
    AnswerTooLarge,
    AnswerTooLate,
    NotReached,
    NotSendable,
)
from bulkops.outbound.network import CheckedNetwork, Exchange, OutOfTime, current
from bulkops.outbound.places import Place, check_listed, place_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

packages.need("httpx")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# Shorter than what web servers keep an idle connection for: one closed as it is used looks like a lost answer.
_KEPT_SECONDS = 1.0
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
HEADER_VALUE = re.compile(r"(?:[!-~](?:[\t -~]{0,8190}[!-~])?)?")
OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say how the message itself is carried; a caller who set them could make two requests of one."""


@dataclass(frozen=True)
class Answer:
    """What the other side said. Every part of it is a stranger's text."""

    status: int
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""
    body: bytes
    """As it came, at most as long as was asked for; never unpacked."""
    whole: bool
    """False: the body was longer than that, and the connection was closed."""

    def header(self, name: str) -> str:
        """The first header of that name; empty where there is none."""
        return next((value for known, value in self.headers if known == name), "")

    @property
    def is_packed(self) -> bool:
        """Whether the body is compressed, although that was not asked for."""
        return self.header("content-encoding").strip().lower() not in {"", "identity"}


def check_address(address: str, *, hosts: tuple[str, ...] | None = None) -> Place:
    """The place of an address that may be called, as far as that can be told without a network.

    `hosts` is the list to be on; None: the setting `http_hosts`. Raises NotSendable or HostNotAllowed.
    """
    place, _ = place_of(address)
    check_listed(place, hosts)
    return place


def ask(
    method: str,
    address: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes | None = None,
    timeout_seconds: float,
    most_bytes: int,
    hosts: tuple[str, ...] | None = None,
    networks: tuple[str, ...] | None = None,
) -> Answer:
    """Send one request, and read the answer: `most_bytes` of its body, within `timeout_seconds` for all of it.

    `hosts` is the list to be on; None: the setting `http_hosts`. `networks` are the private networks that may be
    called; None: the setting `http_private_networks`. Raises NotSendable, HostNotAllowed, AddressRefused or
    NotReached where nothing was sent, and AnswerLost, AnswerTooLate or AnswerTooLarge where it may have been done.
    """
    place, target = place_of(address)
    check_listed(place, hosts)
    request = {"method": method, "headers": _checked(method, place, headers), "content": body}
    url = httpcore.URL(scheme=place.scheme, host=place.host, port=place.port, target=target)
    exchange = Exchange(timeout_seconds=timeout_seconds, most_bytes=most_bytes, networks=networks)
    with current(exchange):
        try:
            return _exchange(exchange, request, url, most_bytes)
        # Not chained: what stands in the causes are parts of the request.
        except (OutOfTime, httpcore.TimeoutException):
            if exchange.sent:
                raise AnswerTooLate(
                    f"{place} was asked, and its answer did not come to its end within {timeout_seconds:g} s."
                ) from None
            raise NotReached(f"{place} was not reached in time; nothing was sent.") from None
        except AnswerTooLarge:
            raise AnswerTooLarge(f"{place} was asked, and its answer is larger than can be read.") from None
        except httpcore.LocalProtocolError:
            raise NotSendable("The request is malformed; nothing was sent.") from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            if exchange.sent:
                raise AnswerLost(f"{place} was asked, and no whole answer came back ({_words(error)}).") from None
            raise NotReached(f"{place} can't be reached ({_words(error)}); nothing was sent.") from None


def _exchange(exchange: Exchange, request: dict, url: httpcore.URL, most_bytes: int) -> Answer:
    pool = _pool(os.getpid(), conf().http_ca_file, exchange.networks)
    with pool.stream(url=url, extensions={"timeout": {"pool": exchange.left()}}, **request) as response:
        exchange.answered = True
        body, whole = b"", True
        for piece in response.iter_stream():
            body += piece
            if len(body) > most_bytes:
                body, whole = body[:most_bytes], False
                break
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers)
        return Answer(response.status, headers, body, whole)


def _checked(method: str, place: Place, headers: Sequence[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as they are sent. The texts of the errors name no value."""
    if method not in METHODS:
        raise NotSendable(f"The method must be one of {', '.join(METHODS)}.")
    check_headers(headers)
    mine = [("Host", place.authority), ("Accept-Encoding", "identity"), *headers]
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in mine]


def check_headers(headers: Sequence[tuple[str, str]]) -> None:
    """Raise NotSendable for a header that must not or cannot be sent; its value is not repeated."""
    for name, value in headers:
        if not HEADER_NAME.fullmatch(name):
            raise NotSendable(f"{name[:100]!r} is no header's name.")
        if name.lower() in OURS or name.lower().startswith("proxy-"):
            raise NotSendable(f"The header {name} cannot be set here: it says how the message is carried.")
        if not HEADER_VALUE.fullmatch(value):
            raise NotSendable(
                f"The header {name} takes visible ASCII characters and inner spaces only, on one line, at most 8,192."
            )


# Sockets must not be shared with the process that this one was forked from: hence the number. Nor with callers who may
# reach other networks: a kept connection is not checked again.
@lru_cache(maxsize=2)
def _pool(_process: int, ca_file: str, _networks: tuple[str, ...] | None) -> httpcore.ConnectionPool:
    return httpcore.ConnectionPool(
        ssl_context=_ssl_context(ca_file),
        max_connections=None,  # how many are asked at once, callers say: here, those that hang would hold up others
        keepalive_expiry=_KEPT_SECONDS,
        retries=0,
        network_backend=CheckedNetwork(),
    )


def _ssl_context(ca_file: str) -> ssl.SSLContext:
    import httpx

    context = httpx.create_ssl_context(trust_env=False)
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except OSError as error:
            raise ImproperlyConfigured(f'BULKOPS["http_ca_file"] cannot be read: {error.strerror}') from None
    return context


def _words(error: Exception) -> str:
    """What the system said of the connection; what the protocol's reader said may repeat what came in."""
    if isinstance(error, httpcore.RemoteProtocolError):
        return "it does not speak HTTP properly, or hung up"
    said = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"its certificate cannot be trusted: {said.partition('failed: ')[2].partition(' (_ssl')[0][:200]}"
    return said[:200].rstrip(".") or type(error).__name__
