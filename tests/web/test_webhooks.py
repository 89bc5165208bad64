"""The pages of webhooks: one's own alone, made and tried without JavaScript; the secret stands there once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from bulkops.models import Delivery, DeliveryAttempt, Endpoint, Job
from bulkops.webhooks import outbox, registering

pytestmark = pytest.mark.django_db

NEW = {"url": "https://example.org/hook", "events": ["job.completed", "job.paused"], "description": "the shop"}


@pytest.fixture
def made(owner: Any) -> Endpoint:
    return registering.create(owner=owner, **NEW)


def text_of(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def test_a_webhook_is_made_and_its_secret_shown_once(as_owner: Client):
    assert "You have no webhooks" in text_of(as_owner.get("/webhooks/"))
    page = as_owner.post("/webhooks/", NEW)
    endpoint = Endpoint.objects.get()
    assert (endpoint.url, endpoint.events) == (NEW["url"], NEW["events"])
    assert endpoint.secret in page.content.decode()
    assert "no-store" in page["Cache-Control"]
    for path in ("/webhooks/", f"/webhooks/{endpoint.pk}/"):
        shown = as_owner.get(path)
        assert NEW["url"] in shown.content.decode()
        assert endpoint.secret not in shown.content.decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "http://example.org/"}, "must begin with https://"),
        ({"url": "https://10.0.0.1/"}, "not on the public internet"),
        ({"events": []}, "This field is required"),
        ({"events": ["job.begun"]}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_stands_beside_its_field(as_owner: Client, change: dict[str, Any], words: str):
    page = as_owner.post("/webhooks/", NEW | change)
    assert page.status_code == 422
    assert words in text_of(page)
    assert not Endpoint.objects.exists()


def test_one_too_many_is_refused_in_words(as_owner: Client, made: Endpoint, settings: Any):
    settings.BULKOPS = settings.BULKOPS | {"webhook_endpoints": 1}
    page = as_owner.post("/webhooks/", NEW)
    assert page.status_code == 422
    assert "You have 1 endpoints already" in text_of(page)


def test_a_webhook_is_changed_switched_off_and_on(as_owner: Client, made: Endpoint):
    here = f"/webhooks/{made.pk}/"
    assert as_owner.post(here, NEW | {"events": ["job.failed"]})["Location"] == here
    made.refresh_from_db()
    assert (made.events, made.disabled_reason) == (["job.failed"], registering.BY_OWNER)
    assert registering.BY_OWNER in text_of(as_owner.get(here))
    as_owner.post(here, NEW | {"enabled": "on"})
    made.refresh_from_db()
    assert made.disabled_at is None
    assert as_owner.post(here, NEW | {"url": "nowhere"}).status_code == 422


def test_a_new_secret_is_shown_once_and_the_former_one_signs_too(as_owner: Client, made: Endpoint):
    former = made.secret
    page = as_owner.post(f"/webhooks/{made.pk}/rotate/")
    made.refresh_from_db()
    assert made.secret in page.content.decode()
    assert made.former_secrets == [former]
    assert former not in page.content.decode()
    assert "The former one signs too until" in text_of(page)


def test_a_test_and_every_attempt_are_listed_and_sent_again(as_owner: Client, made: Endpoint):
    here = f"/webhooks/{made.pk}/"
    assert as_owner.post(f"{here}test/").status_code == 302
    delivery = Delivery.objects.get()
    assert "hx-trigger" in as_owner.get(here).content.decode(), "it moves by itself"
    DeliveryAttempt.objects.create(
        delivery=delivery, seconds=0.2, status=500, error="It answered 500.", answer="<b>no</b>"
    )
    Delivery.objects.update(state="failed", due=None, tries=10)
    page = as_owner.get(here).content.decode()
    assert "It answered 500." in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert "hx-trigger" not in page
    assert "Nothing was sent" in text_of(as_owner.get(f"{here}?state=delivered"))
    as_owner.post(f"{here}deliveries/{delivery.pk}/replay/")
    delivery.refresh_from_db()
    assert (delivery.state, delivery.tries) == ("pending", 0)
    registering.change(made, enabled=False)
    refused = as_owner.post(f"{here}test/", follow=True)
    assert "switch it on first" in text_of(refused)


def test_deliveries_come_in_pages(as_owner: Client, made: Endpoint):
    Delivery.objects.bulk_create(
        Delivery(endpoint=made, event="job.failed", body="{}", state="delivered") for _ in range(26)
    )
    first = as_owner.get(f"/webhooks/{made.pk}/").content.decode()
    assert first.count("Send again") == 25
    assert "page=2" in first
    assert as_owner.get(f"/webhooks/{made.pk}/?page=2").content.decode().count("Send again") == 1


def test_a_deleted_webhook_is_gone_and_deleting_twice_is_harmless(as_owner: Client, made: Endpoint):
    for _ in range(2):
        assert as_owner.post(f"/webhooks/{made.pk}/delete/")["Location"] == "/webhooks/"
    assert as_owner.get(f"/webhooks/{made.pk}/").status_code == 404


@pytest.mark.parametrize("path", ["", "rotate/", "test/", "delete/", "deliveries/{delivery}/replay/"])
def test_other_peoples_webhooks_do_not_exist(
    as_stranger: Client, as_colleague: Client, made: Endpoint, client: Client, path: str
):
    delivery = registering.send_test(made)
    url = f"/webhooks/{made.pk}/" + path.format(delivery=delivery.pk)
    for somebody in (as_stranger, as_colleague):
        assert somebody.post(url, NEW).status_code in ({302} if path == "delete/" else {404})
        assert somebody.get(f"/webhooks/{made.pk}/").status_code == 404
        assert NEW["url"] not in somebody.get("/webhooks/").content.decode()
    assert client.post(url)["Location"].startswith("/accounts/login/")
    made.refresh_from_db()
    assert (made.previous_secret, made.deliveries.count()) == ("", 1)


def test_what_sends_e_mails_is_nobodys_webhook(as_owner: Client, owner: Any):
    hidden = outbox.email_endpoint(owner)
    assert "You have no webhooks" in text_of(as_owner.get("/webhooks/"))
    assert as_owner.get(f"/webhooks/{hidden.pk}/").status_code == 404


# -- e-mail at the end


def test_who_has_no_address_is_not_offered_an_e_mail(as_owner: Client, owner: Any, alive: Any):
    assert "email_at_end" not in as_owner.get("/operations/note/").content.decode()
    as_owner.post("/operations/note/", {"items": "1", "action": "start", "email_at_end": "on"})
    assert not Job.objects.get().email_at_end


def test_the_wish_for_an_e_mail_survives_a_preview(as_owner: Client, owner: Any, alive: Any):
    owner.email = "owner@example.org"
    owner.save()
    form = {"items": "1", "action": "preview", "email_at_end": "on"}
    preview = as_owner.post("/operations/note/", form).content.decode()
    carried = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', preview))
    assert carried["email_at_end"] == "True"
    as_owner.post("/operations/note/", {"items": "1", "action": "start", "email_at_end": carried["email_at_end"]})
    assert Job.objects.get().email_at_end
