"""Where a request comes from, of what stands in front of us only as much believed as a setting says."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING

from bulkops.conf import conf

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from django.http import HttpRequest

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP")


def said_by_proxies(request: HttpRequest) -> str:
    """The address as a text; of the entries of X-Forwarded-For only those of our own proxies are believed."""
    proxies = conf().trusted_proxies
    entries = [one.strip() for one in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if one.strip()]
    if proxies and entries:
        return entries[-min(proxies, len(entries))]
    return request.META.get("REMOTE_ADDR", "")


def parsed(text: str) -> IPv4Address | IPv6Address | None:
    """The address without a port; an IPv4 one also where it is written as IPv6. None where it is none."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdecimal() and (host.endswith("]") or ":" not in host):
        text = host
    try:
        found = ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def surely_from(request: HttpRequest) -> IPv4Address | IPv6Address | None:
    """The address, where it may open a door; None where a proxy that nobody told us of stands in front.

    Such a proxy's own address would stand for everybody's.
    """
    if not conf().trusted_proxies and any(name in request.META for name in FORWARDED):
        return None
    return parsed(said_by_proxies(request))
