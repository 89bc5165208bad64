"""Deliveries reach a real receiver, signed; whatever it does, no event is lost, and nothing goes where it must not."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from standardwebhooks import Webhook, WebhookVerificationError

from bulkops.clock import from_now
from bulkops.models import Cluster, Delivery, DeliveryAttempt, Endpoint
from bulkops.webhooks import calling, claiming, courier, recording, registering
from bulkops.webhooks.saying import Said
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


# -- who sends what


class Slow:
    """A receiver that counts how many requests it has at once, and keeps each a while."""

    def __init__(self, peers: Any, seconds: float = 0.05) -> None:
        self.now, self.most, self.lock, self.seconds = Counter(), Counter(), threading.Lock(), seconds
        self.server = peers(self._reply)

    def _reply(self, asked: Any) -> Reply:
        with self.lock:
            self.now[asked.target] += 1
            self.most[asked.target] = max(self.most[asked.target], self.now[asked.target])
        time.sleep(self.seconds)  # what a receiver does all day
        with self.lock:
            self.now[asked.target] -= 1
        return Reply()


def test_of_many_couriers_each_endpoint_gets_one_delivery_at_a_time_in_order(endpoint: Any, peers: Any, ended: Any):
    slow = Slow(peers)
    for n in range(2):
        endpoint(f"{slow.server.url}/{n}")
    jobs = [ended(["1"]) for _ in range(6)]
    clusters = [
        Cluster.objects.create(name=str(n), alive_until="9999-01-01T00:00Z", workers=1, queues=[]) for n in range(3)
    ]

    def go(cluster: Cluster) -> None:
        from django.db import connections

        courier.go_round(cluster.pk, stopping=lambda: False, linger_seconds=0.5)
        connections.close_all()

    threads = [threading.Thread(target=go, args=(cluster,)) for cluster in clusters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(slow.most.values()) == 1
    for n in range(2):
        told = [json.loads(one.body)["data"]["id"] for one in slow.server.asked if one.target == f"/{n}"]
        assert told == [str(job.pk) for job in jobs], "once each, the oldest first"


def test_a_hanging_receiver_holds_up_no_other(
    endpoint: Any, receiver: Any, peers: Any, ended: Any, deliver: Any, site: Any
):
    site(webhook_timeout_seconds=2.0)
    silent = peers(lambda connection: silent.over.wait(10), raw=True)
    endpoint(silent.url)
    to = receiver()
    endpoint(to.url)
    ended()
    deliver()
    answered = DeliveryAttempt.objects.order_by("pk").values_list("status", flat=True)
    assert list(answered) == [200, None], "the other one was told long before"


def test_slow_receivers_of_one_owner_hold_up_nobody_elses(
    endpoint: Any, peers: Any, ended: Any, deliver: Any, site: Any, stranger: Any
):
    site(webhook_parallel=4)
    told = threading.Event()

    def reply(_asked: Any) -> Reply:
        told.wait(10)  # they answer in the end, so that nothing is held against them
        return Reply(200 if told.is_set() else 500)

    slow = peers(reply)
    for _ in range(6):
        endpoint(slow.url)
    ended()

    def reply_at_once(_asked: Any) -> Reply:
        told.set()
        return Reply()

    endpoint(peers(reply_at_once).url, user=stranger)
    ended(user=stranger)  # it comes after all of those
    assert deliver() == 7
    assert set(attempts()) == {(200, "")}


def test_so_many_are_asked_at_once_as_the_setting_says(
    endpoint: Any, peers: Any, ended: Any, deliver: Any, site: Any, stranger: Any
):
    everybody = 12
    site(webhook_parallel=everybody, webhook_endpoints=everybody)
    together = threading.Barrier(everybody)

    def reply(asked: Any) -> Reply:
        if b"webhook.test" not in asked.body:
            together.wait(10)
        return Reply()

    to = peers(reply)
    made = [endpoint(to.url, user=user) for user in (None, stranger) for _ in range(everybody // 2)]
    registering.send_test(made[0])
    assert deliver() == 1
    ended()
    ended(user=stranger)
    assert deliver() == everybody
    assert set(attempts()) == {(200, "")}


def test_endpoints_that_fail_come_last_and_take_so_many_places_at_most(endpoint: Any, receiver: Any, ended: Any):
    url = receiver().url
    made = [endpoint(url) for _ in range(4)]
    ended()
    Endpoint.objects.filter(pk__in=[one.pk for one in made[:3]]).update(failing_since=from_now(-60))
    cluster = Cluster.objects.create(name="one", alive_until=from_now(60), workers=1, queues=[])
    first = claiming.claim(cluster.pk, 2, 1)
    assert [one.endpoint.failing_since is None for one in first] == [True, False]
    assert first[0].endpoint == made[3]
    assert claiming.claim(cluster.pk, 8, 0) == []
    assert len(claiming.claim(cluster.pk, 8)) == 2


def test_a_receiver_that_is_not_there_has_failed(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    to = receiver()
    endpoint(to.url)
    to.server.close()
    ended()
    deliver()
    ((status, error),) = attempts()
    assert status is None
    assert "can't be reached" in error
    assert Delivery.objects.get().state == "pending"


def test_what_a_dead_cluster_had_in_hand_is_sent_by_another(endpoint: Any, receiver: Any, ended: Any, deliver: Any):
    to = receiver()
    endpoint(to.url)
    ended()
    dying = Cluster.objects.create(name="dying", alive_until=from_now(60), workers=1, queues=[])
    (lost,) = claiming.claim(dying.pk, 8)
    assert claiming.claim(dying.pk, 8) == []
    assert not claiming.anything_due()
    Cluster.objects.filter(pk=dying.pk).update(alive_until=from_now(-1))
    assert claiming.anything_due()
    assert deliver() == 1
    assert to.asked[0].headers["webhook-id"] == str(lost.delivery.pk)


def test_an_attempt_whose_lease_was_lost_decides_nothing_but_a_success(endpoint: Any, receiver: Any, ended: Any):
    made = endpoint(receiver().url)
    ended()
    cluster = Cluster.objects.create(name="one", alive_until=from_now(60), workers=1, queues=[])
    (first,) = claiming.claim(cluster.pk, 8)
    claiming.let_go_all(cluster.pk)
    (second,) = claiming.claim(cluster.pk, 8)
    recording.record(first, Said(1.0, "It answered 410.", 410))
    made.refresh_from_db()
    assert made.disabled_at is None
    assert made.leased_until is not None, "the other one's lease stays"
    recording.record(first, Said(1.0, "", 200))
    assert Delivery.objects.get().state == "delivered"
    recording.record(second, Said(1.0, "", 200))
    made.refresh_from_db()
    assert (made.leased_until, DeliveryAttempt.objects.count()) == (None, 3)


def test_what_was_delivered_late_is_not_failed_by_the_attempt_that_followed(endpoint: Any, receiver: Any, ended: Any):
    endpoint(receiver().url)
    ended()
    cluster = Cluster.objects.create(name="one", alive_until=from_now(60), workers=1, queues=[])
    (first,) = claiming.claim(cluster.pk, 8)
    claiming.let_go_all(cluster.pk)
    (second,) = claiming.claim(cluster.pk, 8)
    recording.record(first, Said(20.0, "", 200))
    recording.record(second, Said(1.0, "It answered 410.", 410))
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.due) == ("delivered", None)


def test_an_endpoint_deleted_while_it_is_called_is_nobodys_trouble(endpoint: Any, receiver: Any, ended: Any):
    made = endpoint(receiver().url)
    ended()
    cluster = Cluster.objects.create(name="one", alive_until=from_now(60), workers=1, queues=[])
    (claimed,) = claiming.claim(cluster.pk, 8)
    made.delete()
    recording.record(claimed, Said(1.0, "", 200))
    assert not DeliveryAttempt.objects.exists()
