"""A kill storm: jobs of several users on two clusters, while processes and sessions of every kind are killed at random.

`pytest tests/chaos/test_storm.py --storm-seconds 600 --storm-seed 3 -s` runs it for longer, and prints a report.
"""

from __future__ import annotations

import io
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from django.core.management import call_command
from django.db import OperationalError, connection

from bulkops import services
from bulkops.models import Chunk, Job
from bulkops.states import JobState
from tests.clusters import wait_for
from tests.sample.models import Account

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clusters import RealCluster

pytestmark = pytest.mark.slow

USERS = 3
ITEMS_A_SECOND = 80
"""Of each job, about: so many that it outlasts the storm."""
PAUSE_SECONDS = 0.004
BETWEEN_BLOWS_SECONDS = (0.3, 1.0)
SETTLE_SECONDS = 120


class Storm:
    """Strikes at random, and keeps two clusters up as a supervisor would."""

    def __init__(self, start: Callable[..., RealCluster], chance: random.Random) -> None:
        self.start = start
        self.chance = chance
        self.clusters = [start(workers=2) for _ in range(2)]
        self.blows: Counter[str] = Counter()

    def strike(self) -> None:
        """One blow of a random kind."""
        kinds: list[Callable[[], None]] = [self.kill_worker] * 5 + [self.freeze_worker] + [self.end_session] * 2
        kinds += [self.kill_leader, self.terminate_leader]
        if self.thaw_at is None:
            kinds.append(self.freeze_leader)
        blow = self.chance.choice(kinds)
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            blow()
            self.blows[blow.__name__] += 1
        self.restart_dead_leaders()

    def kill_worker(self) -> None:
        """kill -9 of a worker."""
        os.kill(self._worker(), signal.SIGKILL)

    def freeze_worker(self) -> None:
        """SIGSTOP, and nobody ever continues it."""
        os.kill(self._worker(), signal.SIGSTOP)

    def kill_leader(self) -> None:
        """kill -9 of a leader; its workers die with it."""
        self.chance.choice(self.clusters).leader.kill()

    def terminate_leader(self) -> None:
        """A deploy: SIGTERM, and another one is started."""
        self.chance.choice(self.clusters).leader.terminate()

    def freeze_leader(self) -> None:
        """SIGSTOP of a leader for longer than its row is good, then SIGCONT; never of both, who would rescue whom?"""
        leader = self.chance.choice(self.clusters).leader
        leader.send_signal(signal.SIGSTOP)
        self.thaw_at = (time.monotonic() + 12, leader)

    thaw_at: tuple[float, Any] | None = None

    def end_session(self) -> None:
        """Cut one database session of some worker or leader."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            pids = [pid for (pid,) in cursor.fetchall()]
            if pids:
                cursor.execute("SELECT pg_terminate_backend(%s)", [self.chance.choice(pids)])

    def thaw(self, *, at_once: bool = False) -> None:
        """Let a frozen leader go on when its time has come."""
        if self.thaw_at is not None and (at_once or time.monotonic() >= self.thaw_at[0]):
            with suppress(ProcessLookupError):
                self.thaw_at[1].send_signal(signal.SIGCONT)
            self.thaw_at = None

    def restart_dead_leaders(self) -> None:
        """What systemd would do."""
        for place, cluster in enumerate(self.clusters):
            if cluster.leader.poll() is not None:
                self.clusters[place] = self.start(workers=2)

    def _worker(self) -> int:
        workers = [pid for cluster in self.clusters for pid in cluster.workers()]
        if not workers:
            raise ProcessLookupError
        return self.chance.choice(workers)


def test_a_kill_storm_loses_and_doubles_nothing(person, clusters, request):
    seconds, seed = request.config.getoption("--storm-seconds"), request.config.getoption("--storm-seed")
    size = seconds * ITEMS_A_SECOND
    Account.objects.bulk_create([Account(number=number) for number in range(USERS * size)], batch_size=5_000)
    keys = list(Account.objects.order_by("number").values_list("pk", flat=True))
    jobs = [
        services.submit(
            user=person(f"user{place}"),
            operation="deposit",
            params={"amount": 1, "pause": PAUSE_SECONDS},
            items=keys[place * size : (place + 1) * size],
            parallelism=2,
        )
        for place in range(USERS)
    ]
    storm = Storm(clusters, random.Random(seed))
    ends, moved_at, moved_to, standstills = time.monotonic() + seconds, time.monotonic(), 0, [0.0]
    next_blow = 0.0
    while time.monotonic() < ends:
        if time.monotonic() >= next_blow:
            storm.strike()
            next_blow = time.monotonic() + storm.chance.uniform(*BETWEEN_BLOWS_SECONDS)
        storm.thaw()
        done = processed()
        if done > moved_to:
            standstills.append(time.monotonic() - moved_at)
            moved_at, moved_to = time.monotonic(), done
        time.sleep(0.05)
    done_in_storm = processed()
    storm.thaw(at_once=True)
    storm.restart_dead_leaders()

    def all_ended() -> bool:
        storm.restart_dead_leaders()
        return not Job.objects.active().exists()

    wait_for(all_ended, seconds * 3 + SETTLE_SECONDS, "the end of every job")
    for job in jobs:
        job.refresh_from_db()
        assert job.state == JobState.COMPLETED
        call_command("verify_job", str(job.pk), stdout=io.StringIO())
    balances = Counter(Account.objects.values_list("balance", flat=True))
    for cluster in storm.clusters:
        cluster.terminate(30)
        assert not cluster.group()
    print(f"\nseed {seed}, {seconds} s: {sum(storm.blows.values())} blows {dict(storm.blows)}")
    doubled = sum(count for balance, count in balances.items() if balance > 1)
    print(f"{sum(balances.values())} items, lost {balances[0]}, doubled {doubled}")
    print(f"{done_in_storm} of them during the storm; longest standstill {max(standstills):.1f} s")
    assert balances == {1: USERS * size}
    assert max(standstills) < 15


def processed() -> int:
    """Items tried in all jobs; asked again where the storm cut this very session."""
    for _ in range(3):
        with suppress(OperationalError):
            return sum(Chunk.objects.values_list("cursor", flat=True))
        connection.close()
    return 0
