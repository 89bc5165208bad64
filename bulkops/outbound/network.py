"""The network below httpcore: names are resolved here, every address is checked, and the checked one is connected to.

So nothing can be answered differently between check and connection. Encryption still verifies the name that was asked
for. Each read, write and wait is cut to what is left of the request's time, however slowly the other side drips, and
what comes in is counted.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import httpcore

from bulkops.outbound import addresses
from bulkops.outbound.errors import AddressRefused, AnswerTooLarge, NotReached

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Iterator

CONNECT_SECONDS = 5.0
"""For one address; a host may have several, of which the first may be away."""
MOST_ADDRESSES = 6
HEAD_BYTES = 64 * 1024
"""Of status line and headers, those of interim answers too."""
FRAMING = 8
"""A body in chunks of one byte each takes six times its size on the wire."""
_PIECE_BYTES = 16 * 1024


class OutOfTime(NotReached):
    """The request's time is over."""


class Exchange:
    """A request in work: until when it may take, how much may come in, and whether anything went out."""

    def __init__(self, *, timeout_seconds: float, most_bytes: int, networks: tuple[str, ...] | None = None) -> None:
        self.ends = time.monotonic() + timeout_seconds
        self.most_on_the_wire = HEAD_BYTES + FRAMING * most_bytes
        self.networks = networks
        """Private networks that may be called; None: those of the setting."""
        self.sent = False
        self.answered = False
        """Whether status and headers are complete."""
        self._received = 0

    def left(self, most_seconds: float | None = None) -> float:
        """Seconds that are left. Raises OutOfTime."""
        seconds = self.ends - time.monotonic()
        if seconds <= 0:
            raise OutOfTime
        return seconds if most_seconds is None else min(seconds, most_seconds)

    def count(self, received: int) -> None:
        """Raises AnswerTooLarge when that is too much."""
        self._received += received
        if self._received > (self.most_on_the_wire if self.answered else HEAD_BYTES):
            raise AnswerTooLarge


_current: ContextVar[Exchange] = ContextVar("bulkops_outbound_exchange")


@contextmanager
def current(exchange: Exchange) -> Iterator[None]:
    """All that this thread sends and reads meanwhile belongs to that request."""
    token = _current.set(exchange)
    try:
        yield
    finally:
        _current.reset(token)


class CheckedNetwork(httpcore.NetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self) -> None:
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Raises AddressRefused where even one of the name's addresses must not be called."""
        exchange = _current.get()
        found = resolve(host, port, exchange.left())
        for address in found:
            if why := addresses.refusal(address, exchange.networks):
                raise AddressRefused(f"{host} leads to {address}, which {why}; nothing was sent.")
        failure: Exception = httpcore.ConnectError("its name has no address")
        for address in found[:MOST_ADDRESSES]:
            try:
                seconds = exchange.left(CONNECT_SECONDS)
                return _Stream(self._plain.connect_tcp(address, port, timeout=seconds, socket_options=socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        """Never."""
        raise AddressRefused("Sockets of this machine are not called.")


class _Stream(httpcore.NetworkStream):
    """A connection whose every wait ends with the request's time."""

    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        exchange = _current.get()
        data = self._inner.read(min(max_bytes, _PIECE_BYTES), timeout=exchange.left())
        exchange.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange = _current.get()
        for start in range(0, len(buffer), _PIECE_BYTES):
            seconds = exchange.left()
            exchange.sent = True
            self._inner.write(buffer[start : start + _PIECE_BYTES], timeout=seconds)

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        seconds = _current.get().left(CONNECT_SECONDS)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout=seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """The host's addresses. The system's resolver knows no time limit, so it is asked in a thread of its own."""
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    said: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            said.put(None)
        else:
            said.put(list(dict.fromkeys(str(address[0]) for *_, address in found)))

    threading.Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    try:
        addresses_found = said.get(timeout=seconds)
    except queue.Empty:
        raise OutOfTime from None
    if addresses_found is None:
        raise httpcore.ConnectError("its name is not known")
    return addresses_found


class _Quiet(logging.Filter):
    """httpcore's log of each step repeats headers, which may hold secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        return _current.get(None) is None


for _name in ("connection", "http11", "http2", "proxy", "socks"):
    logging.getLogger(f"httpcore.{_name}").addFilter(_Quiet())
