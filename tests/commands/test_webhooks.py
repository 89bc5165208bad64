"""`manage.py webhooks` and the admin's list say where users are told and how that goes, and show no secret."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from bulkops.models import DeliveryAttempt, Endpoint
from bulkops.webhooks import outbox, registering

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(owner: Any) -> Endpoint:
    endpoint = registering.create(owner=owner, url="https://example.org/hook", events=["job.failed"])
    delivery = registering.send_test(endpoint)
    DeliveryAttempt.objects.create(delivery=delivery, seconds=0.1, status=500, error="It answered 500.\x1b[31m")
    outbox.email_endpoint(owner)
    return endpoint


def said(*arguments: str) -> str:
    out = io.StringIO()
    call_command("webhooks", *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue()


def test_the_list_shows_state_and_last_attempt_and_no_secret(made: Endpoint, stranger: Any):
    text = said()
    assert "https://example.org/hook" in text
    assert "It answered 500." in text
    assert "\x1b" not in text
    assert made.secret not in text
    (one,) = json.loads(said("--json", "--user", "owner"))
    assert (one["owner"], one["enabled"], one["waiting"], one["last_attempt"]["status"]) == ("owner", True, 1, 500)
    assert said("--user", "stranger") == ""


def test_many_endpoints_and_attempts_ask_no_more_than_one_and_stand_the_oldest_first(made: Endpoint, owner: Any):
    with CaptureQueriesContext(connection) as of_one:
        said()
    for number in range(5):
        endpoint = registering.create(owner=owner, url=f"https://example.org/{number}", events=["job.failed"])
        delivery = registering.send_test(endpoint)
        for attempt in range(number):
            DeliveryAttempt.objects.create(delivery=delivery, seconds=0.1, status=500 + attempt, error=f"No {attempt}.")
    with CaptureQueriesContext(connection) as of_six:
        told = json.loads(said("--json"))
    assert len(of_six) == len(of_one)
    assert [one["last_attempt"] and one["last_attempt"]["status"] for one in told] == [500, None, 500, 501, 502, 503]


def test_one_that_was_switched_off_says_why(made: Endpoint):
    registering.change(made, enabled=False)
    assert f"off: {registering.BY_OWNER}" in said()


def test_the_admin_shows_deliveries_and_neither_secrets_nor_whole_addresses(made: Endpoint, admin_client: Client):
    listed = admin_client.get("/admin/bulkops/endpoint/").content.decode()
    shown = admin_client.get(f"/admin/bulkops/endpoint/{made.pk}/change/").content.decode()
    assert "example.org" in listed
    assert "It answered 500." in shown
    assert made.secret not in listed + shown
    assert "example.org/hook" not in listed + shown  # the rest of an address may be a secret too
    assert admin_client.get("/admin/bulkops/endpoint/add/").status_code == 403
