"""*poll*: how often a second the site answers those who look at a running job, against a view that makes nothing of it.

Real gunicorn of one process, a real log-in's session, kept-alive lines from a program beside. The bare view reads the
same session, the same user and the job by the same query, and answers with some words.
"""

from __future__ import annotations

from contextlib import contextmanager
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
WARM_SECONDS = 0.5

FIGURES = (
    Figure(name="poll", words="polls of the card ÷ a bare view with the same queries", of="card", against="bare",
           at_least=0.8),
    Figure(name="poll, by a program", words="polls of the status ÷ the bare view", of="status", against="bare"),
    Figure(name="poll, without news", words="polls answered with 304 ÷ with the whole status", of="unchanged",
           against="status", at_least=1),
    Figure(name="poll, a second", words="polls of the card that one process answers", of="card", unit="a second"),
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

        def rate(path: str, code: int = 200, **more: str) -> float:
            times = {"warm_seconds": WARM_SECONDS, "window_seconds": stage.race_seconds}
            asked = {"port": web.port, "path": path, "headers": headers | more, "status": code, "lines": LINES}
            return loads.ask("rate", **asked, **times)

        yield {
            "card": lambda: rate(f"/jobs/{job.pk}/progress/?place=job&seen=running.5", **{"HX-Request": "true"}),
            "bare": lambda: rate(f"/bare/{job.pk}/"),
            "status": lambda: rate(status),
            "unchanged": lambda: rate(status, 304, **{"If-None-Match": tag}),
        }
    Cluster.objects.filter(name="here").delete()


def _half_done(person: Any) -> Job:
    """A running job whose half is done and which stands still: every poll tells the same."""
    job = services.submit(user=person, operation="bench-unserved", items=range(10_000), name="Looked at")
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, started_at=from_now(-60))
    Chunk.objects.filter(job=job, number__lt=5).update(cursor=1000, succeeded=1000, finished=True)
    job.refresh_from_db()
    return job
