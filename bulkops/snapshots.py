"""One job with all that can be told of it in one query: what cards and programs ask for again and again.

The figures are those of `progress`, whose own queries serve many jobs at once; here they are sub-queries of the job's,
each of which PostgreSQL runs only in the states that need it. Two things are told here only, since a list has no use
for them: about how long a job waits for its first worker, and that work of a lost worker is being taken back.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    BooleanField,
    Case,
    Exists,
    FloatField,
    IntegerField,
    JSONField,
    OuterRef,
    Subquery,
    Sum,
    TextField,
    When,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, JSONObject
from django.utils import timezone

from bulkops import holds, lineage, progress, queueing, workforce
from bulkops.clock import from_now
from bulkops.models import Chunk, Event, Job, Turn
from bulkops.pace import AT_WORK, Course
from bulkops.states import ENDED, WORKABLE, EventKind, JobState

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from bulkops.progress import Progress

LOST_SECONDS = 5.0
"""How long a rescue is told of after it was made: whoever looks in between should see it."""


def of(pk: UUID) -> tuple[Job, Progress] | None:
    """The job with its owner and its figures, whoever asks; None where there is none. One query."""
    job: Any = Job.objects.select_related("owner", "pace").filter(pk=pk).annotate(**_told()).first()
    if job is None:
        return None
    row = job.counted or {}
    for moment in ("next_try", "last_try"):
        row[moment] = datetime.fromisoformat(row[moment]) if row.get(moment) else None
    around = progress.Around(
        workforce=workforce.Workforce.told(job.workforce),
        course=Course.of(job.pace) if hasattr(job, "pace") else None,
        ahead=job.queue_place,
        slowest=job.slowest,
        lost=bool(job.lost),
        reason=job.paused_for or "",
        taken={row["kind"]: row["items"] for row in job.taken_rows or ()},
    )
    return job, progress.from_row(job, row, around, now=timezone.now())


def _told() -> dict[str, Any]:
    counts = Chunk.objects.filter(job=OuterRef("pk")).order_by().values("job")
    taken = lineage.takers().filter(parent=OuterRef("pk")).order_by().values("retry_items")
    taken = taken.annotate(items=Sum(Coalesce("total", lineage.ALL)))
    asked = Event.objects.filter(job=OuterRef("pk"), kind=EventKind.PAUSE_REQUESTED).order_by("-pk")
    return {
        "counted": Subquery(counts.values(row=JSONObject(**progress.SUMS)), output_field=JSONField()),
        "workforce": RawSQL(workforce.NEWS, (), output_field=JSONField()),  # noqa: S611 - constants
        "taken_rows": _only(ENDED, ArraySubquery(taken.values(row=JSONObject(kind="retry_items", items="items")))),
        "queue_place": _only(queueing.UNSTARTED, RawSQL(queueing.PLACE, (), output_field=IntegerField())),  # noqa: S611
        "slowest": _only({JobState.QUEUED}, RawSQL(queueing.SLOWEST, (), output_field=FloatField())),  # noqa: S611
        "paused_for": _only({JobState.PAUSED}, Subquery(asked.values("detail")[:1], output_field=TextField())),
        "lost": _only(AT_WORK | WORKABLE, _lost(), output_field=BooleanField()),
    }


def _only(states: Iterable[JobState], then: Any, **options: Any) -> Case:
    return Case(When(state__in=sorted(states), then=then), default=None, **options)


def _lost() -> Any:
    """Whether a dead cluster holds work of the job, or its work was taken back a moment ago."""
    held = holds.held_by_dead()
    rescued = Event.objects.filter(job=OuterRef("pk"), kind=EventKind.RESCUED, at__gt=from_now(-LOST_SECONDS))
    return (
        Exists(Turn.objects.filter(held, job=OuterRef("pk")))
        | Exists(Chunk.objects.filter(held, job=OuterRef("pk")))
        | Exists(rescued)
    )
