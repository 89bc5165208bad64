"""*pages*: what the server needs for each page of a job of a million items, and for each list over 10,000 jobs.

Asked in this process, without a network, by somebody who may see all. It is time of the processor, of this process and
of the session that serves it, so that what else the machine does is not in it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psutil
from django.db import connection
from django.test import Client

from bulkops import tokens
from tests.bench import crowd
from tests.bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.models import Job
    from tests.bench.stage import Stage

ITEMS, QUICK_ITEMS = 1_000_000, 100_000
JOBS = 10_000
TRIES = 10
MOST = 100

FIGURES = (
    Figure(name="pages, of a job", words="the slowest page of a job of a million items", of="job.slowest",
           unit="ms", at_most=MOST),
    Figure(name="pages, of a job, typical", words="the page in the middle", of="job.median", unit="ms"),
    Figure(name="pages, lists", words="the slowest page of a list over 10,000 jobs", of="lists.slowest", unit="ms",
           at_most=MOST),
    Figure(name="pages, lists, typical", words="the page in the middle", of="lists.median", unit="ms"),
    Figure(name="pages, a poll", words="a poll of the card of a job of a million items ÷ of ten", of="job.poll",
           against="job.small_poll", at_most=1.3),
)  # fmt: skip

OF_A_JOB = (
    "/jobs/{job}/",
    "/jobs/{job}/progress/?place=job",
    "/jobs/{job}/controls/",
    "/jobs/{job}/details/",
    "/jobs/{job}/failures/",
    "/jobs/{job}/items/",
    "/jobs/{job}/items/?state=failed",
    "/jobs/{job}/items/?state=succeeded&after=900000",
    "/jobs/{job}/items/?state=in_doubt",
    f"/jobs/{{job}}/items/?fingerprint={crowd.FEW}",
    f"/jobs/{{job}}/items/?fingerprint={crowd.MANY}&after=500000",
    "/jobs/{job}/items/?item=70000",
    "/api/jobs/{job}/",
    "/api/jobs/{job}/items/?after=90000",
    "/api/jobs/{job}/items/?state=failed",
    "/api/jobs/{job}/failures/",
    "/api/jobs/{job}/events/",
    "/admin/bulkops/job/{job}/change/",
)
LISTS = (
    "/",
    "/history/",
    "/jobs/",
    "/jobs/?page=40",
    "/jobs/?state=failed",
    "/jobs/?search=Job+99",
    "/jobs/?owner=all",
    "/jobs/?owner=all&state=ended",
    "/jobs/active/",
    "/api/jobs/",
    "/api/jobs/?page=50&page_size=200",
    "/api/jobs/?search=Job+99",
    "/api/jobs/?tag=week-7",
    "/api/jobs/summary/",
    "/admin/bulkops/job/",
    "/admin/bulkops/job/?q=Job+99",
    "/admin/bulkops/job/?p=50",
    "/admin/bulkops/job/dashboard/",
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    owner, other = stage.person(), stage.person()
    small = crowd.long_job(owner, 10)
    long = crowd.long_job(owner, QUICK_ITEMS if stage.quick else ITEMS)
    crowd.many_jobs(small, other, JOBS)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # as autovacuum soon would
    client = Client(
        headers={"Authorization": f"Token {tokens.make(user=owner, name='bench')[1]}"}, SERVER_NAME="localhost"
    )
    client.force_login(owner)
    yield {"job": lambda: _of_a_job(client, long, small), "lists": lambda: _told(client, LISTS)}


def _of_a_job(client: Client, long: Job, small: Job) -> dict[str, float]:
    poll = "/jobs/{job}/progress/?place=job"
    polls = {"poll": _milliseconds(client, poll.format(job=long.pk)), "small_poll": _milliseconds(
        client, poll.format(job=small.pk))}  # fmt: skip
    return polls | _told(client, [path.format(job=long.pk) for path in OF_A_JOB])


def _told(client: Client, paths: Any) -> dict[str, float]:
    """The slowest, the one in the middle, and each by its address."""
    found = {path: _milliseconds(client, path) for path in paths}
    ordered = sorted(found.values())
    return {"slowest": ordered[-1], "median": ordered[len(ordered) // 2], **found}


def _milliseconds(client: Client, path: str) -> float:
    """The mean of some tries after the first, which loads what has to be loaded once."""
    client.get(path)
    began = _busy()
    for _ in range(TRIES):
        answer = client.get(path)
        assert answer.status_code in {200, 204}, f"{path}: {answer.status_code}"
    return (_busy() - began) * 1000 / TRIES


def _busy() -> float:
    """Seconds of the processor that this process and its session of the database have used."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    session = sum(psutil.Process(pid).cpu_times()[:2]) if psutil.pid_exists(pid) else 0.0
    return time.process_time() + session
