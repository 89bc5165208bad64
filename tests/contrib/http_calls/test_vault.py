"""A secret goes to its own hosts, shows itself nowhere, and is declared in words that repeat no value."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from bulkops.conf import conf
from bulkops.contrib.http_calls import checks, vault
from bulkops.outbound.places import place_of

HUSH = "hush-hush-hush"


@pytest.fixture
def secrets(settings):
    def keep(**entries):
        settings.BULKOPS = {"http_secrets": entries}

    return keep


def place(address):
    return place_of(address)[0]


def test_a_secret_is_for_its_hosts_alone(secrets):
    secrets(shop={"value": HUSH, "hosts": ("api.example.org", "*.shop.example")})
    assert vault.secret_for("shop", place("https://api.example.org/")).reveal() == HUSH
    assert vault.secret_for("shop", place("https://a.shop.example/")).reveal() == HUSH
    for address in ("https://evil.example/", "http://api.example.org/", "https://api.example.org:444/"):
        with pytest.raises(vault.SecretRefused, match="is not for"):
            vault.secret_for("shop", place(address))
    with pytest.raises(vault.SecretRefused, match="keeps no secret “other”"):
        vault.secret_for("other", place("https://api.example.org/"))


def test_a_callable_is_asked_each_time_and_its_failure_repeats_nothing(secrets):
    answers = iter([HUSH, HUSH + "2", "short"])
    secrets(shop={"value": lambda: next(answers), "hosts": ("a.example",)})
    secret = vault.known()["shop"]
    assert [secret.reveal(), secret.reveal()] == [HUSH, HUSH + "2"]
    with pytest.raises(vault.SecretRefused, match="at least 8"):
        secret.reveal()

    def fail():
        raise RuntimeError(HUSH)

    secrets(shop={"value": fail, "hosts": ("a.example",)})
    with pytest.raises(vault.SecretAway) as caught:
        vault.known()["shop"].reveal()
    assert HUSH not in repr(caught.value)
    assert caught.value.__suppress_context__


def test_nothing_that_shows_a_secret_shows_its_value(secrets):
    secrets(shop={"value": HUSH, "hosts": ("a.example",)})
    assert HUSH not in repr(vault.known())
    assert HUSH not in repr(conf())


@pytest.mark.parametrize(
    "entry",
    [
        HUSH,
        {"value": HUSH},
        {"value": "short", "hosts": ("a.example",)},
        {"value": 12345678, "hosts": ("a.example",)},
        {"value": HUSH, "hosts": ()},
        {"value": HUSH, "hosts": "a.example"},
        {"value": HUSH, "hosts": ("a b",)},
        {"value": HUSH, "hosts": ("a.example",), "more": 1},
    ],
)
def test_a_wrong_declaration_is_told_by_check_without_its_value(secrets, entry):
    secrets(shop=entry)
    with pytest.raises(ImproperlyConfigured):
        vault.known()
    (error,) = checks.check_secrets(None)
    assert error.id == "bulkops_http.E001"
    assert HUSH not in error.msg


def test_basic_authentication_wants_a_password_that_can_be_found_again():
    assert vault.basic("Aladdin:open sesame") == "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    for value in ("no-colon-here", "user-name:short"):
        with pytest.raises(vault.SecretRefused, match="user:password"):
            vault.basic(value)
