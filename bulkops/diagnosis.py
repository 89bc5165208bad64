"""Why nothing moves: living clusters, waiting turns, jobs that stand still though they should not, recent errors.

Only reads. What is wrong is told in words that name the remedy; what merely waits for its turn is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Count, Min, OuterRef, Q, Subquery

from bulkops import holds
from bulkops.clock import database_now
from bulkops.conf import conf
from bulkops.models import Chunk, Cluster, Event, Job, Outcome, Turn
from bulkops.states import ACTIVE, STOPPING, WORKABLE, EventKind, JobState, OutcomeState

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

OVERDUE_SECONDS = 30.0
"""A due turn that no worker takes for so long, while one is idle, is a fault and not a queue."""
DEAD_CLUSTERS_SHOWN = timedelta(hours=1)
RECENT = timedelta(days=1)
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class ClusterNews:
    """One worker cluster."""

    name: str
    alive: bool
    heartbeat_age_seconds: float
    workers: int
    busy: int
    queues: list[str]


@dataclass(frozen=True, kw_only=True)
class QueueNews:
    """The turns of one queue that are due and not taken."""

    name: str
    depth: int
    oldest_wait_seconds: float
    served: bool


@dataclass(frozen=True, kw_only=True)
class StalledJob:
    """A job that should move and does not, and why."""

    id: UUID
    operation: str
    state: str
    why: str


@dataclass(frozen=True, kw_only=True)
class RecentError:
    """What went wrong lately: a failed job, the last failed item of a job, a hook."""

    job: UUID
    operation: str
    at: datetime
    what: str
    position: int | None = None
    """Of the item, where it is one that failed."""


@dataclass(kw_only=True)
class Diagnosis:
    """Everything at one moment."""

    clusters: list[ClusterNews]
    queues: list[QueueNews]
    jobs: dict[str, int]
    stalled: list[StalledJob]
    errors: list[RecentError]
    faults: list[str] = field(default_factory=list)
    """What is wrong, with its remedy; empty when all is well."""
    remarks: list[str] = field(default_factory=list)
    """Why something waits although nothing is wrong."""

    @property
    def ok(self) -> bool:
        return not self.faults

    @property
    def depth(self) -> int:
        return sum(queue.depth for queue in self.queues)

    @property
    def oldest_wait_seconds(self) -> float | None:
        return max((queue.oldest_wait_seconds for queue in self.queues), default=None)


def is_served(queue: str) -> bool:
    """Whether a living cluster takes work from the queue."""
    return holds.alive_clusters().filter(queues__contains=[queue]).exists()


def diagnose() -> Diagnosis:
    """Look at everything; a dozen small queries, whatever the size of the jobs."""
    found = vitals()
    found.errors = _errors(database_now())
    _explain(found)
    return found


def vitals() -> Diagnosis:
    """The same without what went wrong lately and what is to be done: for machines that ask every few seconds."""
    now = database_now()
    clusters = _clusters(now)
    counted = Job.objects.active().values_list("state").annotate(number=Count("pk")).order_by("state")
    return Diagnosis(
        clusters=clusters,
        queues=_queues(now, clusters),
        jobs=dict(counted),
        stalled=_stalled(now, clusters),
        errors=[],
    )


def _clusters(now: datetime) -> list[ClusterNews]:
    busy = dict(Turn.objects.filter(holder__isnull=False).values_list("holder").annotate(number=Count("pk")).order_by())
    counts_for = timedelta(seconds=conf().cluster_alive_seconds)
    return [
        ClusterNews(
            name=cluster.name,
            alive=cluster.alive_until > now,
            heartbeat_age_seconds=max(0.0, (now - cluster.alive_until + counts_for).total_seconds()),
            workers=cluster.workers,
            busy=busy.get(cluster.pk, 0),
            queues=list(cluster.queues),
        )
        for cluster in Cluster.objects.filter(alive_until__gt=now - DEAD_CLUSTERS_SHOWN).order_by("-alive_until")
    ]


def _served(clusters: list[ClusterNews]) -> set[str]:
    return {queue for cluster in clusters if cluster.alive for queue in cluster.queues}


def _queues(now: datetime, clusters: list[ClusterNews]) -> list[QueueNews]:
    waiting = (
        Turn.objects.filter(holder__isnull=True, due__lte=now, job__state__in=WORKABLE)
        .values_list("job__queue")
        .annotate(depth=Count("pk"), first=Min("due"))
        .order_by("job__queue")
    )
    served = _served(clusters)
    return [
        QueueNews(name=name, depth=depth, oldest_wait_seconds=(now - first).total_seconds(), served=name in served)
        for name, depth, first in waiting
    ]


def _stalled(now: datetime, clusters: list[ClusterNews]) -> list[StalledJob]:
    """Jobs that should move, each with the first reason that applies."""
    served = _served(clusters)
    idle = any(cluster.alive and cluster.busy < cluster.workers for cluster in clusters)
    overdue = now - timedelta(seconds=OVERDUE_SECONDS)
    grace = now - timedelta(seconds=conf().cluster_alive_seconds)
    stalled: dict[UUID, StalledJob] = {}

    def note(job: Job, why: str) -> None:
        stalled.setdefault(job.pk, StalledJob(id=job.pk, operation=job.operation, state=job.state, why=why))

    # Without a worker these may be all the jobs there are: no more of each than is told.
    moving = Job.objects.filter(state__in=WORKABLE | STOPPING).only("operation", "state", "queue")
    for job in moving.exclude(queue__in=served):
        note(job, f"no living cluster serves its queue “{job.queue}”")
    held_by_dead = holds.held_by_dead() & Q(holder__alive_until__lt=grace)
    for job in moving.filter(
        Q(pk__in=Turn.objects.filter(held_by_dead).values("job"))
        | Q(pk__in=Chunk.objects.filter(held_by_dead).values("job"))
    ):
        note(job, "a dead cluster holds its work, and nobody takes it back")
    if idle:
        late = Turn.objects.filter(holder__isnull=True, due__lt=overdue).values("job")
        for job in moving.filter(queue__in=served, pk__in=late):
            note(
                job, f"its turn has been due for more than {OVERDUE_SECONDS:.0f} s, and an idle worker does not take it"
            )
    return sorted(stalled.values(), key=lambda job: str(job.id))


def _errors(now: datetime) -> list[RecentError]:
    """The latest few; of a job's failed items only the last by position, which an index finds at once."""
    jobs = Job.objects.filter(Q(state__in=ACTIVE) | Q(finished_at__gt=now - RECENT)).order_by("-created_at")[:50]
    last = Outcome.objects.filter(job=OuterRef("pk"), state=OutcomeState.FAILED).order_by("-position")
    found = []
    for job in jobs.annotate(
        item=Subquery(last.values("position")[:1]),
        item_error=Subquery(last.values("message")[:1]),
        item_at=Subquery(last.values("finished_at")[:1]),
    ):
        if job.state == JobState.FAILED and job.finished_at is not None:
            found.append(RecentError(job=job.pk, operation=job.operation, at=job.finished_at, what=job.error))
        if job.item is not None:
            found.append(
                RecentError(job=job.pk, operation=job.operation, at=job.item_at, what=job.item_error, position=job.item)
            )
    hooks = Event.objects.filter(kind=EventKind.HOOK_FAILED, at__gt=now - RECENT).select_related("job")
    found += [
        RecentError(job=event.job_id, operation=event.job.operation, at=event.at, what=event.detail)
        for event in hooks.order_by("-pk")[:NAMED]
    ]
    return sorted(found, key=lambda error: error.at, reverse=True)[:NAMED]


def _explain(diagnosis: Diagnosis) -> None:
    """Faults and remarks, from what was found."""
    alive = [cluster for cluster in diagnosis.clusters if cluster.alive]
    if not alive:
        diagnosis.faults.append("No worker is running. Start one: manage.py qcluster")
    else:
        for name in sorted({queue.name for queue in diagnosis.queues if not queue.served}):
            diagnosis.faults.append(
                f"No worker serves the queue “{name}”. Start one: manage.py qcluster --queues {name}"
            )
    if alive and diagnosis.stalled:
        diagnosis.faults.append(f"Jobs that should move and do not: {len(diagnosis.stalled)}; see below for each.")
    workers, busy = sum(one.workers for one in alive), sum(one.busy for one in alive)
    if alive and busy >= workers and diagnosis.depth:
        who = "The only worker is busy" if workers == 1 else f"All {workers} workers are busy"
        what = "1 turn waits," if diagnosis.depth == 1 else f"{diagnosis.depth} turns wait, the first of them"
        diagnosis.remarks.append(
            f"{who}; {what} for {diagnosis.oldest_wait_seconds or 0:.0f} s."
            " More workers: manage.py qcluster --workers N"
        )
    if paused := diagnosis.jobs.get(JobState.PAUSED):
        who = "1 job is paused; it goes" if paused == 1 else f"{paused} jobs are paused; they go"
        diagnosis.remarks.append(f"{who} on when somebody resumes {'it' if paused == 1 else 'them'}.")
    if not diagnosis.jobs:
        diagnosis.remarks.append("No job is active.")
