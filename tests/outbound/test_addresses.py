"""Only the public internet is called, and the networks that a setting opens; a metadata service never."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from bulkops.outbound import addresses

REFUSED = [
    "127.0.0.1",
    "127.255.0.9",
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%lo",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:7f00:1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:808:808::",
    "2001:0:808:808::1",
    "2001::1",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "172.32.0.1",
    "100.128.0.1",
    "2606:4700::1111",
    "2a00:1450::1",
    "64:ff9b::8.8.8.8",
    "::ffff:8.8.8.8",
]
METADATA = [
    "169.254.169.254",
    "fd00:ec2::254",
    "169.254.170.23",
    "fd00:ec2::23",
    "fd20:ce::254",
    "fd00:c1::a9fe:a9fe",
    "168.63.129.16",
    "100.100.100.200",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
]


@pytest.mark.parametrize("address", REFUSED)
def test_an_address_of_no_public_network_is_refused(settings, address):
    settings.BULKOPS = {}
    assert addresses.refusal(address) == "is not on the public internet"


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address):
    assert addresses.refusal(address) is None


@pytest.mark.parametrize("address", METADATA)
def test_a_metadata_service_is_refused_whatever_is_opened(settings, address):
    settings.BULKOPS = {"http_private_networks": ("0.0.0.0/0", "::/0")}
    assert addresses.refusal(address) == "is a cloud's metadata service"


def test_a_network_that_is_opened_may_be_called_by_each_of_its_spellings_and_no_other(settings):
    settings.BULKOPS = {"http_private_networks": ("10.2.0.0/16", "fd00:1::/32")}
    assert [addresses.refusal(one) for one in ("10.2.3.4", "::ffff:10.2.3.4", "fd00:1::5")] == [None] * 3
    assert all(addresses.refusal(one) for one in ("10.3.0.1", "127.0.0.1", "fd00:2::5", "::1"))


@pytest.mark.parametrize("given", ["10.0.0.0/8", ("10.0.0.1/8",), ("intranet",), (None,)])
def test_networks_that_cannot_be_read_are_told_in_words(given):
    with pytest.raises(ImproperlyConfigured, match="http_private_networks"):
        addresses.networks(given)


def test_what_is_no_address_is_refused():
    assert addresses.refusal("somewhere") == "is no address"
