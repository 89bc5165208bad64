"""Endpoints over the API: made, changed, tried, deleted; the secret is shown when it is made, and never again."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from bulkops import services
from bulkops.models import Delivery, DeliveryAttempt, Endpoint
from bulkops.webhooks import registering
from tests.api.conftest import problem

pytestmark = pytest.mark.django_db

NEW = {"url": "https://example.org/hook", "events": ["job.completed", "job.failed"], "description": "the shop"}


@pytest.fixture
def made(mine: Any) -> Any:
    return mine.post("/api/webhooks/", NEW).json()


def change(mine: Any, path: str, body: Any) -> Any:
    return mine.client.patch(path, body, content_type="application/json")


def test_an_endpoint_is_made_and_shows_its_secret_once(mine: Any):
    answer = mine.post("/api/webhooks/", NEW)
    body = answer.json()
    assert answer.status_code == 201
    assert {name: body[name] for name in NEW} == NEW
    assert (body["enabled"], body["secret"]) == (True, Endpoint.objects.get().secret)
    again = mine.get(urlsplit(answer["Location"]).path).json()
    assert again == {name: value for name, value in body.items() if name != "secret"}
    listed = mine.get("/api/webhooks/").json()
    assert (listed["count"], listed["results"]) == (1, [again])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (NEW | {"url": "http://example.org/"}, "#/url"),
        (NEW | {"url": "https://10.0.0.1/"}, "#/url"),
        (NEW | {"url": 7}, "#/url"),
        (NEW | {"events": []}, "#/events"),
        (NEW | {"events": ["job.begun"]}, "#/events/0"),
        (NEW | {"secret": "whsec_mine"}, "#/secret"),
        ({"url": NEW["url"]}, "#/events"),
    ],
)
def test_what_is_wrong_is_pointed_at(mine: Any, body: Any, pointer: str):
    answer = mine.post("/api/webhooks/", body)
    assert problem(answer) == (422, "validation")
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]
    assert not Endpoint.objects.exists()


def test_one_endpoint_too_many_is_refused(mine: Any, settings: Any):
    settings.BULKOPS = settings.BULKOPS | {"webhook_endpoints": 1}
    assert mine.post("/api/webhooks/", NEW).status_code == 201
    assert problem(mine.post("/api/webhooks/", NEW)) == (409, "not-allowed-now")


def test_what_is_left_out_of_a_change_stays(mine: Any, made: Any):
    path = f"/api/webhooks/{made['id']}/"
    body = change(mine, path, {"events": ["job.paused"], "enabled": False}).json()
    assert (body["url"], body["events"], body["enabled"]) == (NEW["url"], ["job.paused"], False)
    assert body["disabled_reason"] == registering.BY_OWNER
    assert change(mine, path, {"enabled": True}).json()["disabled_reason"] == ""
    assert problem(change(mine, path, {"url": "https://127.0.0.1/"})) == (422, "validation")


def test_rotating_shows_another_secret(mine: Any, made: Any):
    body = mine.post(f"/api/webhooks/{made['id']}/rotate/").json()
    assert body["secret"].startswith("whsec_")
    assert body["secret"] != made["secret"]
    assert body["secret_rotated_until"]


def test_a_test_is_under_way_and_listed_with_its_attempts(mine: Any, made: Any):
    path = f"/api/webhooks/{made['id']}/"
    answer = mine.post(f"{path}test/")
    assert (answer.status_code, answer.json()["event"]) == (202, "webhook.test")
    DeliveryAttempt.objects.create(delivery=Delivery.objects.get(), seconds=0.25, status=500, error="It answered 500.")
    (one,) = mine.get(f"{path}deliveries/?state=pending").json()["results"]
    assert (one["id"], one["body"]["type"]) == (answer.json()["id"], "webhook.test")
    assert [(a["status"], a["error"]) for a in one["attempts"]] == [(500, "It answered 500.")]
    assert mine.get(f"{path}deliveries/?event=job.failed").json()["count"] == 0
    assert problem(mine.get(f"{path}deliveries/?state=lost")) == (422, "validation")


def test_a_delivery_is_made_again(mine: Any, made: Any, job: Any, owner: Any):
    services.pause(job=job, actor=owner)
    services.cancel(job=job, actor=owner)
    assert not Delivery.objects.exists(), "it has not asked for either"
    delivery = registering.send_test(Endpoint.objects.get())
    Delivery.objects.update(state="failed", due=None, tries=10)
    path = f"/api/webhooks/{made['id']}/deliveries/{delivery.pk}/replay/"
    answer = mine.post(path)
    assert (answer.status_code, answer.json()["state"], answer.json()["id"]) == (202, "pending", str(delivery.pk))
    change(mine, f"/api/webhooks/{made['id']}/", {"enabled": False})
    assert problem(mine.post(path)) == (409, "not-allowed-now")


def test_many_repeats_by_hand_are_too_many(mine: Any, made: Any):
    delivery = registering.send_test(Endpoint.objects.get())
    path = f"/api/webhooks/{made['id']}/deliveries/{delivery.pk}/replay/"
    told = [mine.post(path) for _ in range(registering.BY_HAND_PER_MINUTE)]
    assert problem(told[-1]) == (429, "rate-limited")
    assert int(told[-1]["Retry-After"]) <= 60


def test_deliveries_come_in_pages(mine: Any, made: Any):
    endpoint = Endpoint.objects.get()
    Delivery.objects.bulk_create(Delivery(endpoint=endpoint, event="job.failed", body="{}") for _ in range(3))
    page = mine.get(f"/api/webhooks/{made['id']}/deliveries/?page_size=2").json()
    assert (page["count"], len(page["results"])) == (3, 2)
    rest = mine.get(page["next"]).json()
    assert (len(rest["results"]), rest["next"]) == (1, None)
    assert problem(mine.get(f"/api/webhooks/{made['id']}/deliveries/?page=9")) == (404, "not-found")


def test_a_deleted_endpoint_is_gone_with_its_deliveries(mine: Any, made: Any):
    registering.send_test(Endpoint.objects.get())
    path = f"/api/webhooks/{made['id']}/"
    assert mine.client.delete(path).status_code == 204
    assert not Delivery.objects.exists()
    assert problem(mine.get(path)) == (404, "not-found")


def test_an_e_mail_at_the_end_needs_an_address(mine: Any, owner: Any):
    asked = {"operation": "note", "items": ["1"], "email_at_end": True}
    answer = mine.post("/api/jobs/", asked)
    assert problem(answer) == (422, "validation")
    assert answer.json()["errors"][0]["pointer"] == "#/email_at_end"
    owner.email = "owner@example.org"
    owner.save()
    assert mine.post("/api/jobs/", asked).status_code == 202
    assert owner.bulkops_jobs.get().email_at_end
    assert mine.get("/api/webhooks/").json()["count"] == 0, "what sends e-mails is nobody's webhook"
