"""Fixtures: servers to call, and a resolver that says what a test wants."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.peers import LOOPBACK, Peer, RawPeer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def allow(settings: Any) -> Callable[..., None]:
    """Put hosts on the list and open networks, the loopback's unless said otherwise."""

    def change(*hosts: str, networks: tuple[str, ...] = LOOPBACK, **more: Any) -> None:
        before = settings.BULKOPS
        settings.BULKOPS = before | {"http_hosts": hosts, "http_private_networks": networks} | more

    return change


@pytest.fixture
def peers() -> Iterator[Callable[..., Any]]:
    """Starts servers; all are gone after the test."""
    started: list[Any] = []

    def start(play: Any, *, raw: bool = False, **options: Any) -> Any:
        started.append(RawPeer(play) if raw else Peer(play, **options))
        return started[-1]

    yield start
    for peer in started:
        peer.close()


@pytest.fixture
def names(monkeypatch: Any) -> dict[str, list[list[str]]]:
    """The world's name servers, which lie outside this machine: for each name, what they answer time after time."""
    known: dict[str, list[list[str]]] = {}
    real = socket.getaddrinfo

    def lookup(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in known:
            return real(host, port, *args, **kwargs)
        found = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [entry for address in found for entry in real(address, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    return known
