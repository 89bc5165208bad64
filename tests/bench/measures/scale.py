"""*scale*: whether an item of a job of a million costs at its end what it cost at its beginning.

Once alone, and once while another connection holds a snapshot open, as a backup does: PostgreSQL then keeps every old
version of every row. Commits do not wait for the disk, which would hide a difference. Each is played once a run, in
whatever rounds: it takes minutes, and has its rounds in itself.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil
import psycopg2
from django.db import connection
from django.db.models import Sum

from bulkops import services, snapshots
from bulkops.models import Chunk, Outcome
from tests.bench.figures import Figure
from tests.clusters import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulkops.models import Job
    from tests.bench.stage import Stage
    from tests.clusters import RealCluster

ITEMS, QUICK_ITEMS = 1_000_000, 20_000
TENTHS = 10
LOOK_SECONDS = 0.25
FIXED_WORK = 10_000
POLLS = 5
PATIENCE_SECONDS = 3600


def _figures() -> Iterator[Figure]:
    for kind, words in (("alone", ""), ("snapshot", ", while a snapshot is held open")):
        name = f"scale{', snapshot' if words else ''}"
        yield Figure(name=name, words=f"an item in the last tenth of a million ÷ in the first{words}",
                     of=f"{kind}.last", against=f"{kind}.first", at_most=1.1)  # fmt: skip
        yield Figure(name=f"{name}, processor", words=f"the same, in time of the processor as it is then{words}",
                     of=f"{kind}.last_busy", against=f"{kind}.first_busy", at_most=1.1)  # fmt: skip
        yield Figure(name=f"{name}, poll", words=f"what a poll reads, at the end{words}", of=f"{kind}.poll", unit="ms")


FIGURES = tuple(_figures())


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    known: dict[str, dict[str, float]] = {}

    def once(kind: str) -> Callable[[], dict[str, float]]:
        def played() -> dict[str, float]:
            if kind not in known:
                known[kind] = _played(stage, cluster, held=kind == "snapshot")
            return known[kind]

        return played

    with stage.cluster(workers=1, queues="bench-relaxed") as cluster:
        yield {kind: once(kind) for kind in ("alone", "snapshot")}


def _played(stage: Stage, cluster: RealCluster, *, held: bool) -> dict[str, float]:
    items = QUICK_ITEMS if stage.quick else ITEMS
    line = psycopg2.connect(stage.owned.url)
    try:
        if held:
            line.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with line.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM bulkops_job")
        job = services.submit(user=stage.person(), operation="bench-nothing-relaxed", items=range(items))
        wait_for(Outcome.objects.filter(job=job).exists, 60, "the first item")
        busy = _watched(job, items, Busy(cluster))
        polls = [_poll(job) for _ in range(POLLS)]
    finally:
        line.close()
    first, last = _tenths(job, items)
    stage.clear()
    return {"first": first, "last": last, "first_busy": busy[0], "last_busy": busy[1], "poll": min(polls)}


class Busy:
    """Seconds of the processor of a cluster's only worker, and of its sessions where the database is on this host."""

    def __init__(self, cluster: RealCluster) -> None:
        self._name = f"bulkops {cluster.row_id}/1"
        self._worker = cluster.pid_of(1)
        self._known: dict[int, float] = {}

    def seconds(self) -> float:
        """Up to now. A session is another one each minute; what the last used is kept."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE application_name = %s", [self._name])
            sessions = [pid for (pid,) in cursor.fetchall()]
        for pid in (self._worker, *sessions):
            with suppress(psutil.NoSuchProcess):
                self._known[pid] = sum(psutil.Process(pid).cpu_times()[:2])
        return sum(self._known.values())


def _watched(job: Job, items: int, busy: Busy) -> tuple[float, float]:
    """Time of the processor for an item of the first and of the last tenth, by that of the fixed work."""
    seen: list[tuple[int, float, float]] = []
    ends = time.monotonic() + PATIENCE_SECONDS
    while not seen or seen[-1][0] < items:
        assert time.monotonic() < ends, "the job does not end"
        done = Chunk.objects.filter(job=job).aggregate(done=Sum("cursor"))["done"]
        seen.append((done, busy.seconds(), _fixed_work()))
        time.sleep(LOOK_SECONDS)
    tenth = items // TENTHS
    first = [one for one in seen if one[0] <= tenth or one is seen[0]]
    last = [one for one in seen if one[0] >= items - tenth]
    return _each(first), _each(last)


def _fixed_work() -> float:
    """Seconds of the processor that one and the same piece of work takes just now."""
    began = time.process_time()
    assert len({str(number): number for number in range(FIXED_WORK)}) == FIXED_WORK
    return time.process_time() - began


def _each(seen: list[tuple[int, float, float]]) -> float:
    (began, busy_before, _), (ended, busy, _) = seen[0], seen[-1]
    return (busy - busy_before) / max(1, ended - began) / median(fixed for *_, fixed in seen)


def _tenths(job: Job, items: int) -> tuple[float, float]:
    """Seconds for an item of the first and of the last tenth, by the moments of their outcomes."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM max(finished_at) - min(finished_at)) / count(*) FROM bulkops_outcome"
            " WHERE job_id = %s GROUP BY position * %s / %s ORDER BY min(position)",
            [job.pk, TENTHS, items],
        )
        each = [float(seconds) for (seconds,) in cursor.fetchall()]
    return each[0], each[-1]


def _poll(job: Job) -> float:
    began = time.perf_counter()
    assert snapshots.of(job.pk) is not None
    return (time.perf_counter() - began) * 1000
