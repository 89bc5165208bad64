"""What happens at the same moment: endpoints that go while jobs end, clusters that are dead and do not know it."""

from __future__ import annotations

import multiprocessing
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections, transaction
from django.db.models import F

from bulkops import services, transitions
from bulkops.clock import from_now
from bulkops.cluster.couriers import Couriers
from bulkops.models import Cluster, Delivery, DeliveryAttempt, Endpoint, Job
from bulkops.states import JobState
from bulkops.webhooks import claiming, recording, registering
from bulkops.webhooks.saying import Said
from tests.clusters import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db(transaction=True)

URL = "https://example.org/hook"


class Beside:
    """Something done by somebody else, on a connection of their own."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(do,))
        self._thread.start()

    def _run(self, do: Callable[[], Any]) -> None:
        try:
            do()
        except Exception as error:  # for the test to see
            self.error = error
        finally:
            connections.close_all()

    def comes_to_a_stand(self) -> None:
        """Until it has ended, or waits for somebody's lock."""
        wait_for(lambda: not self._thread.is_alive() or self._waits(), 10, "it to end or wait")

    def ends(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()
        assert self.error is None, self.error

    @staticmethod
    def _waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))")
            return cursor.fetchone()[0]


def test_a_job_ends_although_its_endpoint_is_deleted_meanwhile(endpoint: Any, owner: Any):
    made = endpoint(URL)
    job = services.submit(user=owner, operation="note", items=["1"])
    with transaction.atomic():
        transitions.move(transitions.lock_job(job.pk), JobState.CANCELLED)
        deleting = Beside(lambda: registering.delete(made))
        deleting.comes_to_a_stand()  # as long as an author's `finish` takes
    deleting.ends()
    assert Job.objects.get(pk=job.pk).state == JobState.CANCELLED
    assert (Endpoint.objects.count(), Delivery.objects.count()) == (0, 0)


def test_a_job_that_ends_while_its_endpoint_is_deleted_tells_the_others(endpoint: Any, owner: Any):
    made, other = endpoint(URL), endpoint(URL)
    job = services.submit(user=owner, operation="note", items=["1"])
    with transaction.atomic():
        registering.delete(made)
        cancelling = Beside(lambda: services.cancel(job=job, actor=owner))
        cancelling.comes_to_a_stand()
    cancelling.ends()
    assert Job.objects.get(pk=job.pk).state == JobState.CANCELLED
    assert Delivery.objects.get().endpoint == other


def test_an_answer_that_comes_while_its_endpoint_is_deleted_is_let_go_of(endpoint: Any, sender: Cluster):
    made = endpoint(URL)
    registering.send_test(made)
    (claimed,) = claiming.claim(sender.pk, 1)
    with transaction.atomic():
        registering.delete(made)
        recording_it = Beside(lambda: recording.record(claimed, Said(0.1, "It answered 500.", 500)))
        recording_it.comes_to_a_stand()
    recording_it.ends()
    assert not DeliveryAttempt.objects.exists()


@pytest.fixture
def sender() -> Cluster:
    return Cluster.objects.create(name="sender", alive_until=from_now(1_000), workers=1, queues=["default"])


def test_a_cluster_that_counts_as_dead_takes_nothing(endpoint: Any, sender: Cluster):
    """Frozen, say: its sender goes on, and others take up whatever it holds."""
    registering.send_test(endpoint(URL))
    frozen = Cluster.objects.create(name="frozen", alive_until=from_now(-1), workers=1, queues=["default"])
    assert claiming.claim(frozen.pk, 8) == []
    assert len(claiming.claim(sender.pk, 8)) == 1
    assert claiming.claim(frozen.pk, 8) == []
    frozen.delete()
    assert claiming.claim(frozen.pk, 8) == []


def test_nobody_else_sends_while_a_process_may_still_be_at_it(endpoint: Any, sender: Cluster):
    """A mail server that answers each word late keeps it longer than `webhook_timeout_seconds`."""
    registering.send_test(endpoint(URL))
    other = Cluster.objects.create(name="other", alive_until=from_now(1_000), workers=1, queues=["default"])
    assert len(claiming.claim(sender.pk, 8)) == 1
    for gone_by, free in ((claiming.longest_life_seconds(), 0), (claiming.MARGIN_SECONDS, 1)):
        Endpoint.objects.update(leased_until=F("leased_until") - timedelta(seconds=gone_by))
        assert len(claiming.claim(other.pk, 8)) == free


def test_a_leader_whose_database_is_away_asks_it_nothing_for_a_dead_process(endpoint: Any, sender: Cluster):
    """Its round connects again, now and then, and says what is wrong."""
    registering.send_test(endpoint(URL))
    claiming.claim(sender.pk, 1)
    Delivery.objects.update(due=from_now(1_000))
    connection.close()
    couriers = Couriers(sender)
    couriers._process = multiprocessing.get_context("fork").Process(target=int)
    couriers._process.start()
    couriers._process.join()
    couriers.look()
    assert connection.connection is None
    assert Endpoint.objects.get().holder == sender  # asked here, which connects
    couriers.look()
    assert Endpoint.objects.get().holder is None
