"""Which hosts may be called, and what an address to call must look like to be understood in one way only.

Addresses are read by one strict pattern, not by a lenient parser: what a browser would repair is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from django.core.exceptions import ImproperlyConfigured

from bulkops.conf import conf
from bulkops.outbound.errors import HostNotAllowed, NotSendable

PORTS = {"http": 80, "https": 443}
LONGEST_ADDRESS = 8_192
_AUTHORITY = r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(?P<port>[0-9]{1,5}))?"
_BEGINNING = re.compile(rf"(?P<scheme>[Hh][Tt][Tt][Pp][Ss]?)://{_AUTHORITY}(?=[/?]|\Z)")
_TARGET = re.compile(r"[!-~]*")
_ENTRY = re.compile(rf"(?:(?P<scheme>https?)://)?(?P<any>\*\.)?{_AUTHORITY}")
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_LIKE_THIS = "An address looks like https://api.example.org/orders"


@dataclass(frozen=True)
class Place:
    """Where a request goes: everything of an address but the path."""

    scheme: str
    host: str
    """Lower case; an IPv6 address without its brackets."""
    port: int

    @property
    def authority(self) -> str:
        """What the header Host says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True)
class Entry:
    """A line of the list of hosts: a place, or all the names below one."""

    place: Place
    below: bool

    def takes(self, place: Place) -> bool:
        """Whether the place is one of these."""
        mine = self.place
        if (place.scheme, place.port) != (mine.scheme, mine.port):
            return False
        return place.host.endswith(f".{mine.host}") if self.below else place.host == mine.host


def place_of(address: str) -> tuple[Place, str]:
    """The place that an address names, and its target: path and query. Raises NotSendable."""
    found = _BEGINNING.match(address)
    if found is None or len(address) > LONGEST_ADDRESS:
        raise NotSendable(
            f"{_LIKE_THIS}: http or https, a host written out in plain letters or as [IPv6], perhaps a port, a path;"
            f" no name or password before the host, at most {LONGEST_ADDRESS:,} characters."
        )
    target = address[found.end() :]
    if not _TARGET.fullmatch(target) or "#" in target or "\\" in target:
        raise NotSendable("An address holds no spaces, backslashes, “#”, or letters beyond ASCII that are not encoded.")
    scheme = found["scheme"].lower()
    port = int(found["port"]) if found["port"] else PORTS[scheme]
    if not 0 < port < 65_536:
        raise NotSendable(f"There is no port {port}.")
    return Place(scheme, _host(found["host"]), port), target if target.startswith("/") else f"/{target}"


def check_listed(place: Place, hosts: tuple[str, ...] | None = None) -> None:
    """Raise HostNotAllowed for a place that is not on the list, which is the setting `http_hosts` unless given."""
    listed = tuple(conf().http_hosts if hosts is None else hosts)
    if not any(entry.takes(place) for entry in _entries(listed)):
        raise HostNotAllowed(f"This site does not call {place}: its list of hosts (http_hosts) does not name it.")


def entries(hosts: tuple[str, ...]) -> tuple[Entry, ...]:
    """The entries of a list such as the setting `http_hosts`. Raises ImproperlyConfigured."""
    if isinstance(hosts, str):
        raise ImproperlyConfigured(f"A list of hosts must be a tuple, not the text {hosts!r}")
    return tuple(_entry(text) for text in hosts)


_entries = lru_cache(maxsize=32)(entries)


def _entry(text: str) -> Entry:
    found = _ENTRY.fullmatch(text) if isinstance(text, str) else None
    scheme = (found["scheme"] or "https") if found else "https"
    try:
        if found is None:
            raise NotSendable
        place = Place(scheme, _host(found["host"]), int(found["port"] or PORTS[scheme]))
    except NotSendable:
        raise ImproperlyConfigured(
            f"{text!r} is no host that can be listed: write api.example.org, api.example.org:8443, *.example.org, or"
            " http://intranet.example.org where it may be called without encryption"
        ) from None
    return Entry(place, bool(found["any"]))


def _host(text: str) -> str:
    """The host in its one spelling. Raises NotSendable."""
    host = text.lower()
    try:
        if host.startswith("["):
            return str(IPv6Address(host[1:-1]))
        if _ENDS_IN_NUMBER.fullmatch(host):
            # Otherwise 2130706433, 0x7f.1 and 017700000001 would be names here, and 127.0.0.1 to the system.
            return str(IPv4Address(host))
    except ValueError:
        raise NotSendable("An IP address is written in its plain form, such as 192.0.2.7 or [2001:db8::7].") from None
    if not _NAME.fullmatch(host):
        raise NotSendable(f"{_LIKE_THIS}; {text[:100]} is no host's name.")
    return host
