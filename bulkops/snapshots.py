"""One job with all its figures in one query: what a program polls, many times a second.

The figures are those of `progress`, whose own queries serve many jobs at once; here they are sub-queries of the job's,
each of which PostgreSQL runs only in the states that need it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, Case, IntegerField, JSONField, OuterRef, Subquery, Sum, When
from django.db.models.expressions import RawSQL
from django.db.models.functions import Coalesce, JSONObject
from django.utils import timezone

from bulkops import lineage, progress
from bulkops.models import Chunk, Job
from bulkops.states import ENDED

if TYPE_CHECKING:
    from uuid import UUID

    from bulkops.progress import Progress

COUNTS = ("succeeded", "failed", "skipped", "in_doubt", "deferred")
_PLACE = f"(SELECT place FROM ({progress.WAITING}) waiting WHERE job_id = bulkops_job.id)"  # noqa: S608 - constants

_SERVED = """
EXISTS (SELECT 1 FROM bulkops_cluster WHERE alive_until > clock_timestamp() AND bulkops_job.queue = ANY(queues))
"""


def of(pk: UUID) -> tuple[Job, Progress] | None:
    """The job with its owner and its figures, whoever asks; None where there is none. One query."""
    counts = (
        Chunk.objects.filter(job=OuterRef("pk"))
        .order_by()
        .values("job")
        .values(row=JSONObject(**{name: Sum(name) for name in COUNTS}))
    )
    taken = (
        lineage.takers()
        .filter(parent=OuterRef("pk"))
        .order_by()
        .values("retry_items")
        .annotate(items=Sum(Coalesce("total", lineage.ALL)))
        .values(row=JSONObject(kind="retry_items", items="items"))
    )
    served = RawSQL(_SERVED, (), output_field=BooleanField())  # noqa: S611 - constants
    place = RawSQL(_PLACE, (), output_field=IntegerField())  # noqa: S611
    job: Any = (
        Job.objects.select_related("owner")
        .filter(pk=pk)
        .annotate(
            counted=Subquery(counts, output_field=JSONField()),
            taken_rows=Case(When(state__in=sorted(ENDED), then=ArraySubquery(taken)), default=None),
            is_served=served,
            queue_place=Case(
                When(state__in=sorted(progress.UNSTARTED), then=place),
                default=None,
            ),
        )
        .first()
    )
    if job is None:
        return None
    figures = progress.from_row(
        job,
        job.counted or {},
        place=job.queue_place,
        served=job.is_served,
        taken={row["kind"]: row["items"] for row in job.taken_rows or ()},
        now=timezone.now(),
    )
    return job, figures
