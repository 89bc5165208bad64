"""Who sends what: couriers side by side, receivers that hang or fail, and senders that die."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import Any

import pytest

from bulkops.clock import from_now
from bulkops.models import Cluster, Delivery, DeliveryAttempt, Endpoint
from bulkops.webhooks import claiming, courier, recording, registering
from bulkops.webhooks.saying import Said
from tests.peers import Reply
from tests.webhooks.test_delivering import attempts

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.mark.slow
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


@pytest.mark.slow
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
