"""Deliveries reach a real receiver, signed; whatever it does, no event is lost, and nothing goes where it must not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from bulkops.clock import from_now
from bulkops.models import Delivery, DeliveryAttempt, Endpoint
from bulkops.webhooks import calling, recording, registering
from tests.peers import Reply

pytestmark = pytest.mark.django_db(transaction=True)


def attempts() -> list[tuple[int | None, str]]:
    return list(DeliveryAttempt.objects.values_list("status", "error"))


def test_a_receiver_verifies_the_signature_and_reads_the_body(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    to = receiver()
    made = endpoint(to.url)
    job = ended()
    assert deliver() == 1
    (asked,) = to.asked
    said = Webhook(made.secret).verify(asked.body, dict(asked.headers))
    assert (said["type"], said["data"]["id"], said["data"]["succeeded"]) == ("job.completed", str(job.pk), 2)
    with pytest.raises(WebhookVerificationError):
        Webhook(made.secret).verify(asked.body + b" ", dict(asked.headers))
    delivery = Delivery.objects.get()
    assert asked.headers["webhook-id"] == str(delivery.pk)
    assert (asked.method, asked.target, asked.headers["Content-Type"]) == ("POST", "/hook?a=1", "application/json")
    assert (delivery.state, delivery.tries, delivery.due) == ("delivered", 1, None)
    assert attempts() == [(200, "")]
    assert deliver() == 0


def test_after_a_rotation_both_secrets_verify_for_a_day(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    to = receiver()
    made = endpoint(to.url)
    old, new = made.secret, registering.rotate(made)
    assert old != new
    ended()
    deliver()
    for secret in (old, new):
        Webhook(secret).verify(to.asked[0].body, dict(to.asked[0].headers))
    Endpoint.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    registering.replay(Delivery.objects.get())
    deliver()
    Webhook(new).verify(to.asked[1].body, dict(to.asked[1].headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(to.asked[1].body, dict(to.asked[1].headers))


def test_a_second_rotation_leaves_the_first_secret_its_day(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    """As by a page that is loaded again: the receiver has the first one still."""
    to = receiver()
    made = endpoint(to.url)
    stale = Endpoint.objects.get(pk=made.pk)
    known = [made.secret, registering.rotate(made), registering.rotate(stale)]
    ended()
    deliver()
    (asked,) = to.asked
    for secret in known:
        Webhook(secret).verify(asked.body, dict(asked.headers))


def test_a_refused_delivery_is_tried_by_the_schedule_with_the_same_id(
    endpoint: Any, receiver: Any, ended: Any, deliver: Any, come_due: Any
):
    to = receiver(500, 404, 200)
    endpoint(to.url)
    ended()
    waits = []
    for _ in range(3):
        deliver()
        delivery = Delivery.objects.get()
        waits.append(delivery.due and (delivery.due - timezone.now()).total_seconds())
        assert deliver() == 0, "not before it is due"
        come_due()
    assert 3.5 < waits[0] <= 5.5
    assert 260 < waits[1] <= 330
    assert waits[2] is None
    assert len({asked.headers["webhook-id"] for asked in to.asked}) == 1
    assert len({asked.body for asked in to.asked}) == 1
    assert attempts() == [(500, "It answered 500."), (404, "It answered 404."), (200, "")]
    assert Endpoint.objects.get().failing_since is None


def test_used_up_attempts_end_it_and_a_person_may_have_it_made_again(
    endpoint: Any, receiver: Any, ended: Any, deliver: Any, come_due: Any, site: Any
):
    site(webhook_retry_seconds=(5, 5))
    to = receiver(500, 500, 500, 200)
    endpoint(to.url)
    ended()
    for _ in range(4):
        deliver()
        come_due()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.tries, len(to.asked)) == ("failed", 3, 3)
    registering.replay(delivery)
    deliver()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts.count()) == ("delivered", 4)
    assert len({asked.headers["webhook-id"] for asked in to.asked}) == 1


def test_410_switches_the_endpoint_off_and_tells_its_owner(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    made = endpoint(receiver(410).url)
    made.owner.email = "owner@example.org"
    made.owner.save()
    ended()
    deliver()
    made.refresh_from_db()
    assert made.disabled_at is not None
    assert made.disabled_reason == recording.GONE
    ended()
    assert Delivery.objects.filter(endpoint=made).count() == 1, "nothing more is written for it"
    assert Delivery.objects.get(endpoint__kind="email").event == "webhook.disabled"
    with pytest.raises(registering.EndpointNotAllowed):
        registering.send_test(made)


def test_an_endpoint_that_has_failed_for_days_is_switched_off(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    made = endpoint(receiver(500).url)
    ended()
    Endpoint.objects.update(failing_since=from_now(-5 * 86400))
    deliver()
    made.refresh_from_db()
    assert made.disabled_at is not None
    assert "It answered 500." in made.disabled_reason
    registering.change(made, enabled=True)
    assert (made.disabled_at, made.disabled_reason, made.failing_since) == (None, "", None)
    assert Delivery.objects.get().state == "pending", "what waited goes out"


def test_a_busy_receiver_is_left_alone_for_as_long_as_it_asks(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    to = receiver(Reply(429, headers={"Retry-After": "7200"}), Reply(200))
    made = endpoint(to.url)
    ended()
    deliver()
    ended()  # another delivery to the same endpoint waits too
    assert deliver() == 0
    made.refresh_from_db()
    assert 7100 < (made.not_before - timezone.now()).total_seconds() <= 7200
    assert (Delivery.objects.order_by("created_at")[0].due - timezone.now()).total_seconds() > 7100


def test_a_redirect_is_not_followed(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    elsewhere = receiver()
    to = receiver(Reply(302, headers={"Location": elsewhere.url}))
    endpoint(to.url)
    ended()
    deliver()
    assert attempts() == [(302, "It answered 302; redirects are not followed.")]
    assert elsewhere.asked == []


def test_a_receiver_that_takes_too_long_has_failed(endpoint: Any, peers: Any, ended: Any, deliver: Any, site: Any):
    site(webhook_timeout_seconds=0.3)
    silent = peers(lambda connection: silent.over.wait(10), raw=True)
    endpoint(silent.url)
    ended()
    deliver()
    ((status, error),) = attempts()
    assert status is None
    assert "did not come to its end within 0.3 s" in error


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1"])
def test_a_name_that_leads_to_a_private_address_is_not_called(
    endpoint: Any, receiver: Any, ended: Any, deliver: Any, site: Any, names: Any, address: str
):
    to = receiver()
    names["hook.example.org"] = [[address]]
    endpoint(f"http://hook.example.org:{to.server.port}/")
    site(webhook_private_networks=(), http_private_networks=("127.0.0.0/8", "10.0.0.0/8", "::1/128"))
    ended()
    deliver()
    ((status, error),) = attempts()
    assert status is None
    assert f"hook.example.org leads to {address}, which is" in error
    assert to.asked == []


def test_where_plain_http_is_no_longer_allowed_nothing_is_sent_by_it(
    endpoint: Any, receiver: Any, ended: Any, deliver: Any, site: Any
):
    to = receiver()
    endpoint(to.url)
    ended()
    site(webhook_plain_http=False)
    deliver()
    assert to.asked == []
    assert attempts() == [(None, calling.NOT_ENCRYPTED)]
    assert Delivery.objects.get().state == "pending"


def test_a_name_is_checked_each_time_at_the_address_connected_to(
    endpoint: Any, receiver: Any, ended: Any, deliver: Any, site: Any, names: Any, come_due: Any
):
    to = receiver(500)
    site(webhook_private_networks=("127.0.0.1/32",))
    names["hook.example.org"] = [["127.0.0.1"], ["127.0.0.2"]]
    endpoint(f"http://hook.example.org:{to.server.port}/")
    ended()
    for _ in range(2):
        calling.asking._pool.cache_clear()
        deliver()
        come_due()
    assert [status for status, _ in attempts()] == [500, None]
    assert len(to.asked) == 1


def test_the_first_bytes_of_an_answer_are_kept_and_made_harmless(
    endpoint: Any, receiver: Any, ended: Any, deliver: Any
):
    endpoint(receiver(Reply(500, body=b"no\x00way\xff" + b"x" * 100_000)).url)
    ended()
    deliver()
    answer = DeliveryAttempt.objects.get().answer
    assert answer.startswith("no\ufffdway\ufffdxxx")
    assert len(answer) <= 500
