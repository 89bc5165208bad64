"""How many items of a job failed since it was begun or last resumed, and whether that is more than it may bear.

A count is reached as it stands; a share only once so many items were tried that it means something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import F, Sum
from django.db.models.functions import Greatest

from bulkops.conf import conf
from bulkops.models import Chunk, Event, Job
from bulkops.states import EventKind

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, kw_only=True)
class Failures:
    """Figures since the job was begun or last resumed."""

    bad: int
    """Failed or in doubt."""
    doubtful: bool
    """Whether some of the job's items are in doubt."""
    processed: int

    def reach(self, most: float) -> bool:
        """Whether they are as many as `max_failures` says: a count, or a share of the items tried."""
        if most >= 1:
            return self.bad >= most
        return self.processed >= conf().failure_share_items and self.bad >= most * self.processed

    def in_words(self, most: float) -> str:
        """The figures, to be followed by since when."""
        what = "failed or may have happened" if self.doubtful else "failed"
        if most < 1:
            return f"{self.bad:,} of {self.processed:,} items {what}"
        return f"{self.bad:,} item{'s' if self.bad != 1 else ''} {what}"


def since_resumed(job_id: UUID) -> Failures:
    """The sums over the job's chunks, less what they were at the last resume; one query."""
    chunks = Chunk.objects.filter(job=job_id).values("job")
    sums = chunks.annotate(
        bad=Sum(F("failed") + F("in_doubt")) - F("job__failed_before"),
        doubts=Sum("in_doubt"),
        processed=Sum(F("cursor") - F("deferred")) - F("job__processed_before"),
    )
    for bad, doubts, processed in sums.values_list("bad", "doubts", "processed"):
        return Failures(bad=bad, doubtful=doubts > 0, processed=processed)
    return Failures(bad=0, doubtful=False, processed=0)


def begin_anew(job: Job) -> None:
    """Count from here on; at a resume, whose caller holds the job's lock."""
    sums = Chunk.objects.filter(job=job).aggregate(
        bad=Sum(F("failed") + F("in_doubt")), processed=Sum(F("cursor") - F("deferred"))
    )
    Job.objects.filter(pk=job.pk).update(failed_before=sums["bad"] or 0, processed_before=sums["processed"] or 0)


def take_off(job: Job, since: datetime) -> None:
    """An item in doubt since then has not failed after all; the caller holds the job's lock.

    If it was counted up to the last resume, it must not make up for a failure after it.
    """
    resumed = Event.objects.filter(job=job, kind=EventKind.RESUMED).order_by("-pk").values_list("at", flat=True).first()
    if resumed is not None and since < resumed:
        Job.objects.filter(pk=job.pk).update(failed_before=Greatest(F("failed_before") - 1, 0))


def since_when(job: Job) -> str:
    """From when on they are counted, in words."""
    resumed = Event.objects.filter(job=job, kind=EventKind.RESUMED).exists()
    return "since it was last resumed" if resumed else "since it was begun"
