"""Endpoints are checked when they are made, as far as that can be told without calling them."""

from __future__ import annotations

from typing import Any

import pytest

from bulkops.models import Delivery, Endpoint
from bulkops.webhooks import calling, checks, registering

pytestmark = pytest.mark.django_db

URL = "https://example.org/hook"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.org/", "https://"),
        ("ftp://example.org/", "looks like"),
        ("https://user:word@example.org/", "no name or password"),
        ("https://127.0.0.1/", "not on the public internet"),
        ("https://[::1]/", "not on the public internet"),
        ("https://169.254.169.254/", "metadata"),
        ("https://2130706433/", "plain form"),
        ("https://example.org/" + "x" * 2_000, "at most"),
        ("", "looks like"),
    ],
)
def test_an_address_that_must_not_be_called_is_refused(owner: Any, url: str, words: str):
    with pytest.raises(registering.InvalidEndpoint, match=words) as refusal:
        registering.create(owner=owner, url=url, events=["job.failed"])
    assert refusal.value.field == "url"
    assert not Endpoint.objects.exists()


@pytest.mark.parametrize("events", [[], ["job.begun"], ["webhook.test"]])
def test_events_are_those_that_there_are(owner: Any, events: list[str]):
    with pytest.raises(registering.InvalidEndpoint) as refusal:
        registering.create(owner=owner, url=URL, events=events)
    assert refusal.value.field == "events"


def test_a_user_has_so_many_endpoints_at_most(owner: Any, stranger: Any, settings: Any):
    settings.BULKOPS = settings.BULKOPS | {"webhook_endpoints": 2}
    for _ in range(2):
        registering.create(owner=owner, url=URL, events=["job.failed"])
    with pytest.raises(registering.EndpointNotAllowed, match="2 endpoints already"):
        registering.create(owner=owner, url=URL, events=["job.failed"])
    registering.create(owner=stranger, url=URL, events=["job.failed"])


def test_without_the_packages_registering_is_refused_in_words(owner: Any, monkeypatch: Any):
    monkeypatch.setattr(calling, "asking", None)
    with pytest.raises(registering.EndpointNotAllowed, match="httpx and httpcore are not installed"):
        registering.create(owner=owner, url=URL, events=["job.failed"])
    assert calling.post(URL, "1", "{}", []).error == calling.NOT_INSTALLED


def test_secrets_are_random_and_long(owner: Any):
    one, two = (registering.create(owner=owner, url=URL, events=["job.failed"]) for _ in range(2))
    assert one.secret.startswith("whsec_")
    assert one.secret != two.secret
    assert len(one.secret) >= len("whsec_") + 43


def test_a_test_that_still_waits_is_not_sent_twice(owner: Any):
    made = registering.create(owner=owner, url=URL, events=["job.failed"])
    assert registering.send_test(made) == registering.send_test(made)
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"webhook_private_networks": "10.0.0.0/8"}, "must be a tuple of networks"),
        ({"webhook_private_networks": ("10.0.0.1/8",)}, "has host bits set"),
        ({"webhook_retry_seconds": (5, "1 h")}, "must be a tuple of seconds"),
        ({"webhook_timeout_seconds": 0}, "must be more than 0"),
        ({"base_url": "bulk.example.org"}, "must look like"),
    ],
)
def test_settings_that_cannot_be_understood_are_named(settings: Any, given: dict[str, Any], words: str):
    assert checks.check_webhooks(None) == []
    settings.BULKOPS = settings.BULKOPS | given
    (fault,) = checks.check_webhooks(None)
    assert (fault.id, words in fault.msg) == ("bulkops.E015", True)
