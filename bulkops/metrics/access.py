"""Who may read the metrics: a token or an address that a setting names; nobody where none does."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING

from django.core.exceptions import ImproperlyConfigured
from django.utils.crypto import constant_time_compare

from bulkops import visitors
from bulkops.conf import conf

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network

    from django.http import HttpRequest

SCHEME = "bearer"


def is_open_to(request: HttpRequest) -> bool:
    """Whether the request brings the token, or comes from one of the addresses."""
    return _has_token(request) or _is_near(request)


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    # Compared also where there is none to compare with, so that the time tells nothing.
    same = constant_time_compare(token.strip(), conf().metrics_token)
    return same and bool(conf().metrics_token) and scheme.lower() == SCHEME


def _is_near(request: HttpRequest) -> bool:
    near = networks()
    address = visitors.surely_from(request) if near else None
    return address is not None and any(address in network for network in near)


def networks() -> list[IPv4Network | IPv6Network]:
    """The addresses of the setting. Raises ImproperlyConfigured."""
    given = conf().metrics_addresses
    try:
        if isinstance(given, str):
            raise ValueError(given)
        return [ip_network(one) for one in given]
    except ValueError as error:
        raise ImproperlyConfigured(
            f'BULKOPS["metrics_addresses"] must be a tuple of addresses and networks: {error}'
        ) from None
