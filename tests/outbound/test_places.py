"""An address is understood in one way or not at all, and its host must be on the list with scheme and port."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from bulkops.contrib.http_calls import checks
from bulkops.outbound import HostNotAllowed, NotSendable, places


@pytest.mark.parametrize(
    ("address", "place", "target"),
    [
        ("https://api.example.org", "https://api.example.org", "/"),
        ("HTTPS://API.Example.ORG:443/a/b?c=d", "https://api.example.org", "/a/b?c=d"),
        ("http://intranet:8080?x", "http://intranet:8080", "/?x"),
        ("https://192.0.2.7/", "https://192.0.2.7", "/"),
        ("https://[2001:DB8:0::7]:8443/", "https://[2001:db8::7]:8443", "/"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example", "/"),
    ],
)
def test_an_address_has_one_spelling(address, place, target):
    found, rest = places.place_of(address)
    assert (str(found), rest) == (place, target)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "api.example.org",
        "//api.example.org/",
        "file:///etc/passwd",
        "gopher://api.example.org/",
        "ftp://api.example.org/",
        "javascript:alert(1)",
        " https://api.example.org/",
        "https:///api.example.org/",
        "https:/api.example.org/",
        "https://",
        "https://user@api.example.org/",
        "https://api.example.org:pw@evil.example/",
        "https://api.example.org\\@evil.example/",
        "https://evil.example\\.api.example.org/",
        "https://api.example.org#@evil.example/",
        "https://api.example.org/#x",
        "https://api.example.org/a b",
        "https://api.example.org/a\r\nX: y",
        "https://api.example.org/ä",
        "https://api.example.org:/",
        "https://api.example.org:0/",
        "https://api.example.org:65536/",
        "https://api.example.org:443x/",
        "https://api.example.org:4\uff143/",
        "https://api.example.org./",
        "https://api..example.org/",
        "https://-api.example.org/",
        "https://api\u3002example\u3002org/",
        "https://\u0430pi.example.org/",
        "https://\u24d0pi.example.org/",
        "https://api%2eexample.org/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://017700000001/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1./",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://[127.0.0.1]/",
        "https://" + "a" * 64 + ".example/",
        "https://api.example.org/" + "a" * 9_000,
    ],
)
def test_an_address_that_could_be_understood_otherwise_is_refused(address):
    with pytest.raises(NotSendable):
        places.place_of(address)


@pytest.mark.parametrize(
    ("hosts", "address"),
    [
        (("api.example.org",), "https://api.example.org/"),
        (("API.example.org",), "https://api.example.org:443/"),
        (("api.example.org:8443",), "https://api.example.org:8443/"),
        (("http://intranet:8080",), "http://intranet:8080/"),
        (("*.example.org",), "https://a.b.example.org/"),
        (("[2001:db8::7]",), "https://[2001:db8:0:0::7]/"),
    ],
)
def test_a_host_on_the_list_may_be_called(hosts, address):
    places.check_listed(places.place_of(address)[0], hosts)


@pytest.mark.parametrize(
    ("hosts", "address"),
    [
        ((), "https://api.example.org/"),
        (("api.example.org",), "http://api.example.org/"),
        (("api.example.org",), "http://api.example.org:443/"),
        (("api.example.org",), "https://api.example.org:8443/"),
        (("api.example.org:8443",), "https://api.example.org/"),
        (("http://api.example.org",), "https://api.example.org/"),
        (("*.example.org",), "https://example.org/"),
        (("*.example.org",), "https://evilexample.org/"),
        (("api.example.org",), "https://api.example.org.evil.example/"),
        (("api.example.org",), "https://x.api.example.org/"),
    ],
)
def test_scheme_port_and_the_whole_name_count(hosts, address):
    with pytest.raises(HostNotAllowed, match="does not name it"):
        places.check_listed(places.place_of(address)[0], hosts)


@pytest.mark.parametrize("given", ["a.example", ("*",), ("https://a.example/",), ("a.example/x",), ("0x7f.1",), (7,)])
def test_a_list_that_cannot_be_read_is_told_in_words(given):
    with pytest.raises(ImproperlyConfigured):
        places.entries(given)


@pytest.mark.parametrize("given", [{"http_hosts": ("*",)}, {"http_private_networks": ("10.0.0.1/8",)}])
def test_check_tells_of_settings_that_cannot_be_read(settings, given):
    settings.BULKOPS = given
    assert [message.id for message in checks.check_hosts(None)] == ["bulkops_http.E002"]
