"""How long a job waits: from the moment its submission committed to the moment its first item did.

The server's own record of commits says both (track_commit_timestamp), so neither the asking nor its answer is in it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import connection

from bulkops.models import Job
from bulkops.states import ENDED
from tests.bench.rounds import NotMeasured
from tests.clusters import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PATIENCE_SECONDS = 60.0


def kept() -> NotMeasured | None:
    """None where the server records when commits happen."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW track_commit_timestamp")
        (value,) = cursor.fetchone()
    return None if value == "on" else NotMeasured("track_commit_timestamp is off on that server")


def until_ended(ids: Iterable[UUID]) -> None:
    """Wait for the jobs' ends, asking seldom."""
    waited = set(ids)
    wait_for(
        lambda: Job.objects.filter(pk__in=waited, state__in=ENDED).count() == len(waited),
        PATIENCE_SECONDS,
        "the jobs' ends",
    )


def milliseconds(ids: Iterable[UUID]) -> list[float]:
    """Of each of these jobs, which have ended."""
    with connection.cursor() as cursor:
        # A manifest is written by the submission alone, the first outcome by the first item.
        cursor.execute(
            "SELECT extract(epoch FROM pg_xact_commit_timestamp(o.xmin) - pg_xact_commit_timestamp(m.xmin)) * 1000"
            " FROM bulkops_outcome o JOIN bulkops_manifest m ON m.job_id = o.job_id AND m.number = 0"
            " WHERE o.position = 0 AND o.job_id = ANY(%s)",
            [list(ids)],
        )
        return [float(value) for (value,) in cursor.fetchall()]


def share(values: Sequence[float], part: float) -> float:
    """The value that so large a part of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]
