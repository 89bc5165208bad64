"""For anybody whom no setting lets in, there are no metrics."""

from __future__ import annotations

import pytest
from django.core import checks
from django.test import Client

from tests.metrics.conftest import TOKEN

pytestmark = pytest.mark.django_db

CLOSED = {"metrics_token": "", "metrics_addresses": ()}


@pytest.fixture
def setting(settings):
    def set_to(**values):
        settings.BULKOPS = {**settings.BULKOPS, **CLOSED, **values}

    set_to()
    return set_to


@pytest.fixture(params=["anybody", "somebody", "administrator"])
def actor(request, client, person, admin_user):
    """Who asks; being logged in opens nothing."""
    if request.param != "anybody":
        client.force_login(admin_user if request.param == "administrator" else person("somebody"))
    return client


def test_closed_for_everybody_unless_a_setting_opens_it(actor: Client, setting):
    assert actor.get("/metrics").status_code == 404
    for sent in ("Bearer ", "Bearer", "Bearer None", ""):
        assert actor.get("/metrics", headers={"Authorization": sent}).status_code == 404


def test_open_for_everybody_who_has_the_token(actor: Client, setting):
    setting(metrics_token=TOKEN)
    assert actor.get("/metrics").status_code == 404
    assert actor.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert actor.get("/metrics", headers={"Authorization": f"bearer  {TOKEN} "}).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", f"Token {TOKEN}", TOKEN, "Bearer ü", "Bearer \x00"],
)
def test_another_token_opens_nothing(client: Client, setting, sent: str):
    setting(metrics_token=TOKEN)
    assert client.get("/metrics", headers={"Authorization": sent}).status_code == 404


def test_whoever_is_not_let_in_cannot_tell_that_there_is_something(client: Client, setting):
    setting(metrics_token=TOKEN)
    here, nowhere = (client.get(path) for path in ("/metrics", "/metrix"))
    assert (here.status_code, here.content.replace(b"metrics", b"metrix")) == (404, nowhere.content)
    assert client.post("/metrics").status_code == 404
    assert client.post("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 405


@pytest.mark.parametrize(
    ("addresses", "address", "status"),
    [
        (("10.1.0.0/16",), "10.1.2.3", 200),
        (("10.1.0.0/16",), "10.2.2.3", 404),
        (("10.1.2.3",), "10.1.2.3", 200),
        (("10.1.2.3",), "::ffff:10.1.2.3", 200),
        (("::1",), "::1", 200),
        (("::1",), "::2", 404),
        (("2001:db8::/32",), "2001:db8:5::7", 200),
        (("10.0.0.0/8", "192.0.2.1"), "192.0.2.1", 200),
        (("10.0.0.0/8",), "", 404),
        (("0.0.0.0/0",), "unix:", 404),
    ],
)
def test_open_for_the_addresses_of_the_setting(actor: Client, setting, addresses, address, status):
    setting(metrics_addresses=addresses)
    assert actor.get("/metrics", REMOTE_ADDR=address).status_code == status


@pytest.mark.parametrize(
    ("proxies", "forwarded", "status"),
    [
        (0, None, 200),  # the scraper itself
        (0, "203.0.113.9", 404),  # a proxy that nobody told us of: its address would stand for everybody's
        (0, "10.0.0.5", 404),
        (1, "203.0.113.9", 404),
        (1, "10.0.0.5", 200),
        (1, "10.0.0.5, 203.0.113.9", 404),  # the first entry is what the visitor wrote
        (1, "203.0.113.9, 10.0.0.5:4711", 200),
        (2, "10.0.0.5, 203.0.113.9", 200),
        (1, "nonsense", 404),
    ],
)
def test_a_visitor_behind_a_proxy_counts_as_far_as_the_proxy_is_trusted(client, setting, proxies, forwarded, status):
    setting(metrics_addresses=("10.0.0.0/8",), trusted_proxies=proxies)
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    assert client.get("/metrics", REMOTE_ADDR="10.0.0.1", headers=headers).status_code == status


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ({}, True),
        ({"metrics_token": TOKEN, "metrics_addresses": ("10.0.0.0/8", "::1")}, True),
        ({"metrics_token": "guess"}, False),
        ({"metrics_token": "with a space in it"}, False),
        ({"metrics_addresses": "10.0.0.0/8"}, False),
        ({"metrics_addresses": ("10.0.0.1/8",)}, False),
        ({"metrics_addresses": ("everywhere",)}, False),
    ],
)
def test_settings_that_cannot_be_meant_are_named_at_start(setting, values, right):
    setting(**values)
    assert [one for one in checks.run_checks(tags=["bulkops"]) if one.id == "bulkops.E018"] == [] or not right
    assert any(one.id == "bulkops.E018" for one in checks.run_checks(tags=["bulkops"])) is not right


def test_the_token_shows_in_no_repr_of_the_settings(setting):
    from bulkops.conf import conf

    setting(metrics_token=TOKEN)
    assert conf().metrics_token == TOKEN
    assert TOKEN not in repr(conf())
