"""SIGTERM and SIGINT, to the leader or to its whole group, once or twice: exit 0, nobody left, the work handed on.

One signal while an item is in hand is in test_kills.py for SIGTERM; here are the others.
"""

from __future__ import annotations

import os
import signal
import time

import pytest

from bulkops import services
from bulkops.dispatch import anything_waits
from bulkops.models import Chunk, Cluster, Turn
from bulkops.states import JobState
from tests.clusters import wait_for
from tests.sample.models import Account

pytestmark = pytest.mark.slow

GRACE_SECONDS = 2
"""What a cluster may take beyond the item in hand."""
SIGNALS = pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=lambda signum: signum.name)
TARGETS = pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["leader", "group"])


def assert_gone(cluster, seconds: float) -> None:
    assert cluster.leader.wait(seconds) == 0
    assert not cluster.group()
    assert not Cluster.objects.filter(pk=cluster.row_id).exists()
    assert not Chunk.objects.filter(holder__isnull=False).exists()
    assert not Turn.objects.filter(holder__isnull=False).exists()


def begin(owner, pause: float):
    """A job of two items that take so long each, with the first one in hand."""
    Account.objects.bulk_create([Account(number=number) for number in range(2)])
    job = services.submit(user=owner, operation="deposit", params={"amount": 1, "pause": pause})
    wait_for(lambda: type(job).objects.get(pk=job.pk).state == JobState.RUNNING, 10)
    return job


@SIGNALS
@TARGETS
def test_an_idle_cluster_ends_at_once(cluster, send, signum):
    time.sleep(0.5)  # its workers sleep by now, for seconds if nobody woke them
    send(cluster.leader.pid, signum)
    assert_gone(cluster, GRACE_SECONDS)


@TARGETS
def test_ctrl_c_ends_the_item_in_hand_and_hands_the_other_on(owner, cluster, send):
    job = begin(owner, pause=0.5)
    send(cluster.leader.pid, signal.SIGINT)
    assert_gone(cluster, 0.5 + GRACE_SECONDS)
    assert Account.objects.filter(balance=1).count() == Chunk.objects.get(job=job).cursor == 1
    assert anything_waits(["default"])


@SIGNALS
@TARGETS
def test_a_second_signal_does_not_wait_for_the_item_in_hand(owner, cluster, send, signum):
    job = begin(owner, pause=50)
    send(cluster.leader.pid, signum)
    wait_for(lambda: "event=stopping" in cluster.log.read_text(), GRACE_SECONDS)
    assert cluster.leader.poll() is None
    send(cluster.leader.pid, signum)
    assert_gone(cluster, GRACE_SECONDS)
    chunk = Chunk.objects.get(job=job)
    assert (chunk.cursor, chunk.crashes, Account.objects.filter(balance=1).count()) == (0, 0, 0)
    assert anything_waits(["default"])
