"""*poll*: how often a second the site answers those who look at a running job, against a view that makes nothing of it.

They are asked for in short bursts by turns, so that what else the machine does hits all alike. Real gunicorn of one
process, a real log-in's session, kept-alive lines from a program beside. The bare view reads the same session, the same
user and the job by the same query, and answers with some words. It sends that query as Django sends any, to be planned
each time; a second one has it prepared, as the card has.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from statistics import mean
from typing import TYPE_CHECKING, Any

from bulkops import services
from bulkops.clock import from_now
from bulkops.models import Chunk, Cluster, Job
from bulkops.states import JobState
from tests.bench.figures import Figure
from tests.bench.web import serving, session_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

LINES = 2
BURSTS, QUICK_BURSTS = 15, 3
TIMES = {"warm_seconds": 0.1, "window_seconds": 0.4}

FIGURES = (
    Figure(name="poll", words="polls of the card ÷ a bare view with the same queries", of="polls.card",
           against="polls.bare", at_least=0.8),
    Figure(name="poll, prepared", words="the same ÷ the bare view with its query prepared as the card's is",
           of="polls.card", against="polls.prepared"),
    Figure(name="poll, by a program", words="polls of the status ÷ the bare view", of="polls.status",
           against="polls.bare"),
    Figure(name="poll, without news", words="polls answered with 304 ÷ with the whole status", of="polls.unchanged",
           against="polls.status", at_least=1),
    Figure(name="poll, a second", words="polls of the card that one process answers", of="polls.card", unit="a second"),
)  # fmt: skip


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    person = stage.person()
    Cluster.objects.create(name="here", alive_until=from_now(36_000), workers=1, queues=["nobody"])
    job = _half_done(person)
    headers = session_of(person)
    with serving(stage) as web, stage.helper("loads") as loads:
        status = f"/api/jobs/{job.pk}/"
        tag = web.get(status, **headers).getheader("ETag")

        asked: dict[str, dict[str, Any]] = {
            "card": {"path": f"/jobs/{job.pk}/progress/?place=job&seen=running.5"},
            "bare": {"path": f"/bare/{job.pk}/"},
            "prepared": {"path": f"/bare/{job.pk}/prepared/"},
            "status": {"path": status},
            "unchanged": {"path": status, "status": 304, "headers": {**headers, "If-None-Match": tag}},
        }

        def polls() -> dict[str, float]:
            rates: dict[str, list[float]] = {name: [] for name in asked}
            for _ in range(QUICK_BURSTS if stage.quick else BURSTS):
                for name in random.sample(list(asked), len(asked)):
                    what = {"status": 200, "headers": headers, **asked[name]}
                    rates[name].append(loads.ask("rate", port=web.port, lines=LINES, **what, **TIMES))
            return {name: mean(each) for name, each in rates.items()}

        yield {"polls": polls}
    Cluster.objects.filter(name="here").delete()


def _half_done(person: Any) -> Job:
    """A running job whose half is done and which stands still: every poll tells the same."""
    job = services.submit(user=person, operation="bench-unserved", items=range(10_000), name="Looked at")
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, started_at=from_now(-60))
    Chunk.objects.filter(job=job, number__lt=5).update(cursor=1000, succeeded=1000, finished=True)
    job.refresh_from_db()
    return job
