"""*scale*: whether an item of a job of a million costs at its end what it cost at its beginning.

Once alone, and once while another connection holds a snapshot open, as a backup does: PostgreSQL then keeps every old
version of every row. Commits do not wait for the disk, which would hide a difference. Each is played once a run, in
whatever rounds: it takes minutes, and has its rounds in itself.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil
import psycopg2
from django.db import connection

from bulkops import services, snapshots
from bulkops.models import Outcome
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
        yield Figure(name=f"{name}, pages", words=f"the same, in pages that the database looks at{words}",
                     of=f"{kind}.last_pages", against=f"{kind}.first_pages")  # fmt: skip
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
        seen = _watched(job, items, Busy(cluster))
        polls = [_poll(job) for _ in range(POLLS)]
    finally:
        line.close()
    first, last = _tenths(job, items)
    stage.clear()
    tenth = items // TENTHS
    begun = seen[: 1 + next(number for number, look in enumerate(seen) if look.done >= tenth)]
    ending = seen[max((number for number, look in enumerate(seen) if look.done <= items - tenth), default=0) :]
    return {
        "first": first,
        "last": last,
        "first_busy": _busy(begun),
        "last_busy": _busy(ending),
        "first_pages": _pages(begun),
        "last_pages": _pages(ending),
        "poll": min(polls),
    }


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


@dataclass(frozen=True)
class Look:
    """What was known at one moment."""

    done: int
    """Items, of one worker, in their order."""
    busy: float
    pages: int
    fixed_work: float


def _watched(job: Job, items: int, busy: Busy) -> list[Look]:
    """Looks from the first item to the last; each costs little, as it is counted too."""
    seen: list[Look] = []
    ends = time.monotonic() + PATIENCE_SECONDS
    while not seen or seen[-1].done < items:
        assert time.monotonic() < ends, "the job does not end"
        with connection.cursor() as cursor:
            cursor.execute("SELECT max(position) + 1 FROM bulkops_outcome WHERE job_id = %s", [job.pk])
            (done,) = cursor.fetchone()
            cursor.execute("SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()")
            (pages,) = cursor.fetchone()
        seen.append(Look(done, busy.seconds(), pages, _fixed_work()))
        time.sleep(LOOK_SECONDS)
    return seen


def _fixed_work() -> float:
    """Seconds of the processor that one and the same piece of work takes just now."""
    began = time.process_time()
    assert len({str(number): number for number in range(FIXED_WORK)}) == FIXED_WORK
    return time.process_time() - began


def _items(looks: list[Look]) -> int:
    return max(1, looks[-1].done - looks[0].done)


def _busy(looks: list[Look]) -> float:
    """Time of the processor for an item, by that of the fixed work."""
    return (looks[-1].busy - looks[0].busy) / _items(looks) / median(look.fixed_work for look in looks)


def _pages(looks: list[Look]) -> float:
    return (looks[-1].pages - looks[0].pages) / _items(looks)


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
