"""On a real cluster: jobs go on whatever a receiver does, and what a killed process had in hand is sent again."""

from __future__ import annotations

import os
import re
import signal
import threading
from typing import Any

import pytest

from bulkops import services
from bulkops.models import Delivery, Job
from bulkops.states import JobState
from tests.clusters import wait_for
from tests.peers import Reply

pytestmark = pytest.mark.slow

WORDS = {"BULKOPS_WEBHOOK_PRIVATE_NETWORKS": "127.0.0.1/32", "BULKOPS_WEBHOOK_PLAIN_HTTP": "1"}


class Hanging:
    """A receiver that answers nobody until it is let go."""

    def __init__(self, peers: Any) -> None:
        self.hold = threading.Event()
        self.server = peers(self._reply)

    def _reply(self, _asked: Any) -> Reply:
        self.hold.wait(60)
        return Reply()

    @property
    def ids(self) -> list[str]:
        return [asked.headers["webhook-id"] for asked in self.server.asked]


def completed(job: Job) -> bool:
    job.refresh_from_db()
    return job.state == JobState.COMPLETED


def couriers(cluster: Any) -> list[int]:
    return [int(pid) for pid in re.findall(r"event=courier_started pid=(\d+)", cluster.log.read_text())]


def test_jobs_go_on_while_a_receiver_hangs_and_a_killed_delivery_is_sent_again(
    owner: Any, endpoint: Any, peers: Any, clusters: Any
):
    hanging = Hanging(peers)
    endpoint(hanging.server.url)
    cluster = clusters(workers=1, **WORDS)
    told = services.submit(user=owner, operation="note", items=["1"])
    wait_for(lambda: hanging.ids, 15, "the webhook")
    # The receiver has not answered yet, and the only worker works on.
    for _ in range(3):
        job = services.submit(user=owner, operation="note", items=["1", "2"])
        wait_for(lambda job=job: completed(job), 10, "a job beside it")
    assert len(hanging.ids) == 1, "one at a time"
    os.kill(couriers(cluster)[-1], signal.SIGKILL)
    wait_for(lambda: len(hanging.ids) == 2, 10, "the same delivery once more")
    hanging.hold.set()
    wait_for(lambda: not Delivery.objects.exclude(state="delivered").exists(), 15, "all deliveries")
    of_the_first = str(Delivery.objects.get(job=told).pk)
    assert hanging.ids[:2] == [of_the_first] * 2
    assert len(set(hanging.ids)) == 4
    assert "event=worker_ended" not in cluster.log.read_text(), "no worker had a hand in it"
    assert cluster.terminate() == 0


def test_a_cluster_stops_although_a_receiver_hangs(owner: Any, endpoint: Any, peers: Any, clusters: Any):
    hanging = Hanging(peers)
    endpoint(hanging.server.url)
    cluster = clusters(workers=1, **WORDS)
    services.submit(user=owner, operation="note", items=["1"])
    wait_for(lambda: hanging.ids, 15, "the webhook")
    (courier,) = couriers(cluster)
    cluster.leader.send_signal(signal.SIGTERM)
    wait_for(lambda: "event=worker_ended" in cluster.log.read_text(), 8, "the worker's end")
    assert courier in cluster.group(), "no worker's end waits for a receiver"
    assert cluster.leader.wait(8) == 0
    assert Delivery.objects.get().state == "pending"
    wait_for(lambda: not cluster.group(), 3, "the end of all its processes")
    hanging.hold.set()
    clusters(workers=1, **WORDS)
    wait_for(lambda: Delivery.objects.get().state == "delivered", 15, "the delivery")
    assert len(set(hanging.ids)) == 1
