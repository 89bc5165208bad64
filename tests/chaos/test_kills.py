"""Real clusters and kill -9: what is killed costs seconds, never an item."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import transaction

from bulkops import services, snapshots
from bulkops.models import Chunk, Cluster, Event, Job, Pace, Turn
from bulkops.states import EventKind, JobState
from bulkops.wording import LOST
from tests.clusters import environment, wait_for
from tests.sample.models import Account
from ticketing.models import Event as Show
from ticketing.models import Ticket

if TYPE_CHECKING:
    from tests.clusters import RealCluster

pytestmark = pytest.mark.slow

WORKER_KILLED_SECONDS = 3
HOST_LOST_SECONDS = 15
CANCEL_SECONDS = 1


def processed(job: Job) -> int:
    return sum(Chunk.objects.filter(job=job).values_list("cursor", flat=True))


def ended(job: Job) -> bool:
    job.refresh_from_db()
    return not job.is_active


def words(job: Job) -> str:
    found = snapshots.of(job.pk)
    assert found is not None
    return found[1].words


def verify(job: Job) -> str:
    said = io.StringIO()
    call_command("verify_job", str(job.pk), stdout=said)
    return said.getvalue()


def holder_of(job: Job) -> int | None:
    return Chunk.objects.filter(job=job, worker__isnull=False).values_list("worker", flat=True).first()


def kill_holder(job: Job, cluster: RealCluster) -> int:
    """Kill the worker that holds a chunk of the job, with -9; return its process id."""
    victim = cluster.pid_of(wait_for(lambda: holder_of(job), 10, "a holder"))
    os.kill(victim, signal.SIGKILL)
    return victim


def test_reprice_changes_every_ticket_once_though_its_worker_is_killed_three_times(person, cluster):
    user = person("seller", "ticketing.change_ticket")
    show = Show.objects.create(name="Concert", venue="Hall", starts_at="2027-01-01T20:00Z")
    Ticket.objects.bulk_create(
        [Ticket(event=show, code=f"T{number:05}", seat=str(number), price=1_000 + number) for number in range(5_000)]
    )
    before = dict(Ticket.objects.values_list("pk", "price"))
    job = services.submit(user=user, operation="reprice-tickets", params={"cents": 25})
    killed, standstills = set(), []
    for at in (500, 1_500, 3_000):
        wait_for(lambda at=at: processed(job) >= at, 60, f"{at} items")
        killed.add(kill_holder(job, cluster))
        began, stood = time.monotonic(), processed(job)
        wait_for(lambda stood=stood: processed(job) > stood + 1, 10, "the work to go on")
        standstills.append(time.monotonic() - began)
        wait_for(lambda: words(job) == LOST, 5, "the page to say so")
    wait_for(lambda: ended(job), 90, "the end")
    assert job.state == JobState.COMPLETED
    kept = Pace.objects.get(pk=job)
    assert (kept.items[0], kept.items[-1]) == (0, 5_000), "what the killed ones did is in its pace too"
    assert kept.items == sorted(kept.items)
    assert dict(Ticket.objects.values_list("pk", "price")) == {pk: price + 25 for pk, price in before.items()}
    assert len(killed) == 3
    assert max(standstills) < WORKER_KILLED_SECONDS
    assert Event.objects.filter(job=job, kind=EventKind.RESCUED).count() >= 3
    print(f"standstills after kill -9: {', '.join(f'{one:.2f} s' for one in standstills)}; {verify(job)}")


@pytest.fixture
def deposits(owner):
    """A job of slow small deposits, long enough to be disturbed."""
    Account.objects.bulk_create([Account(number=number) for number in range(600)])
    return services.submit(user=owner, operation="deposit", params={"amount": 1, "pause": 0.01})


def assert_every_account_once(job: Job) -> None:
    assert job.state == JobState.COMPLETED
    assert set(Account.objects.values_list("balance", flat=True)) == {1}
    verify(job)


def test_idle_workers_killed_wedge_nothing(owner, cluster):
    for _ in range(3):
        for pid in cluster.workers():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(cluster.workers()) == 2, 10, "new workers")
    job = services.submit(user=owner, operation="note", items=["a"])
    wait_for(lambda: ended(job), WORKER_KILLED_SECONDS, "the job's end")


def test_a_lost_host_is_taken_over_within_15_seconds(clusters, deposits):
    first = clusters(workers=1)
    wait_for(lambda: processed(deposits) > 50, 20, "some items")
    second = clusters(workers=1)
    if Turn.objects.get(job=deposits).holder_id != first.row_id:
        first, second = second, first
    first.kill()  # leader, workers and all: nobody says goodbye
    began, stood = time.monotonic(), processed(deposits)
    wait_for(lambda: processed(deposits) > stood + 1, HOST_LOST_SECONDS, "the work to go on")
    print(f"taken over after {time.monotonic() - began:.1f} s")
    wait_for(lambda: ended(deposits), 60, "the end")
    assert_every_account_once(deposits)


def test_workers_die_with_their_leader(cluster):
    workers = cluster.workers()
    os.kill(cluster.leader.pid, signal.SIGKILL)
    wait_for(lambda: not cluster.group(), 3, f"{workers} to be gone")


def test_sigterm_ends_the_item_in_hand_hands_the_rest_on_and_exits_0(clusters, deposits):
    first = clusters(workers=2)
    wait_for(lambda: processed(deposits) > 50, 20, "some items")
    assert first.terminate() == 0
    assert not first.group()
    assert not Cluster.objects.filter(pk=first.row_id).exists()
    assert not Chunk.objects.filter(job=deposits, holder__isnull=False).exists()
    assert not Event.objects.filter(job=deposits, kind=EventKind.RESCUED).exists()
    assert not ended(deposits)
    clusters(workers=1)
    wait_for(lambda: ended(deposits), 60, "the end")
    assert_every_account_once(deposits)


def test_sigterm_to_the_whole_group_ends_it_too(clusters, deposits):
    first = clusters(workers=2)
    wait_for(lambda: processed(deposits) > 20, 20, "some items")
    os.killpg(first.leader.pid, signal.SIGTERM)
    assert first.leader.wait(10) == 0
    assert not Chunk.objects.filter(job=deposits, holder__isnull=False).exists()


def test_cancel_reaches_a_worker_within_one_item(cluster, deposits, owner):
    wait_for(lambda: processed(deposits) > 20, 20, "some items")
    cancelled_in_seconds(deposits)
    assert deposits.cancel_reason == "wrong amount"
    assert Account.objects.filter(balance=1).count() == processed(deposits) < 600
    verify(deposits)


def test_a_cancel_settles_within_a_second(cluster, owner):
    """The quickest of three: on a loaded machine one may have to wait for a core, which is not the cancel's fault."""
    Account.objects.bulk_create([Account(number=number) for number in range(600)])
    seconds = []
    for _ in range(3):
        job = services.submit(user=owner, operation="deposit", params={"amount": 1, "pause": 0.01})
        wait_for(lambda job=job: processed(job) > 5, 20, "some items")
        seconds.append(cancelled_in_seconds(job))
    print(f"cancels settled after {', '.join(f'{one:.2f} s' for one in seconds)}")
    assert min(seconds) < CANCEL_SECONDS


def cancelled_in_seconds(job: Job) -> float:
    """Cancel a running job and wait; fails if a worker begins another item, or had to be waited out."""
    with transaction.atomic():
        services.cancel(job=job, actor=job.owner, reason="wrong amount")
        done = processed(job)  # no item of the job can commit before this transaction does
    began = time.monotonic()
    wait_for(lambda: ended(job), 20, "the cancel")
    took = time.monotonic() - began
    assert job.state == JobState.CANCELLED
    assert processed(job) <= done + 1
    assert not Event.objects.filter(job=job, kind=EventKind.RESCUED).exists()
    return took


SLOW_TO_LISTEN = """
import time
import django
django.setup()
from bulkops.cluster import leader, process
die_with = process.die_with
def slow(parent):
    time.sleep(1)
    die_with(parent)
process.die_with = slow
raise SystemExit(leader.Leader(workers=1, queues=["default"]).run())
"""


def test_sigterm_reaches_a_worker_that_was_started_this_moment(transactional_db, tmp_path):
    log = tmp_path / "log"
    with log.open("w") as out:
        leader = subprocess.Popen(
            [sys.executable, "-c", SLOW_TO_LISTEN],
            env=environment(PYTHONPATH="site:."),
            cwd=settings.BASE_DIR,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_for(lambda: "worker_started" in log.read_text(), 20, "a worker")
        leader.terminate()
        assert leader.wait(8) == 0
    finally:
        if leader.poll() is None:
            os.killpg(leader.pid, signal.SIGKILL)
