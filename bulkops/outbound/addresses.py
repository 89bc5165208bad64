"""Which network addresses may be called: those of the public internet, and the private networks that a setting names.

Written as what is allowed, not as what is known to be dangerous: of IPv6 only global unicast counts as public.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from django.core.exceptions import ImproperlyConfigured

from bulkops.conf import conf

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved, broadcast
    )
)
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # Teredo and other tunnels: where a packet comes out, the address does not say for certain
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "fd00:c1::a9fe:a9fe",
    )
)
"""Where clouds hand out a machine's credentials; no setting opens these."""
_EMBEDDING_IPV4 = IPv6Network("64:ff9b::/96")
"""NAT64: in a network of IPv6 alone, DNS gives such an address for every IPv4 host."""


def refusal(text: str, opened: tuple[str, ...] | None = None) -> str | None:
    """Why that address must not be called, to follow “which”; None where it may be.

    `opened` are private networks that may be called; None: those of the setting `http_private_networks`.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return "is no address"
    meant = _meant(address)
    if address in _METADATA or meant in _METADATA:
        return "is a cloud's metadata service"
    if any(one.version == other.version and one in other for one in (address, meant) for other in _opened(opened)):
        return None
    return None if _is_public(meant) else "is not on the public internet"


def networks(given: tuple[str, ...], setting: str = "http_private_networks") -> tuple[Network, ...]:
    """The networks of that setting. Raises ImproperlyConfigured."""
    if isinstance(given, str):
        raise ImproperlyConfigured(f'BULKOPS["{setting}"] must be a tuple of networks, not a text')
    try:
        return tuple(ip_network(text) for text in given)
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f'BULKOPS["{setting}"]: {error}') from None


def _opened(given: tuple[str, ...] | None) -> tuple[Network, ...]:
    return _networks(tuple(conf().http_private_networks if given is None else given))


_networks = lru_cache(maxsize=8)(networks)


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, where it surely does."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _EMBEDDING_IPV4:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _NOT_PUBLIC_4)
    return address.is_global and address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)
