"""Who serves the queues: the clusters' rows, read once for any number of jobs, and judged by the database's clock."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from datetime import datetime

# A value, so that it can stand in another query: one job's figures are read in one. Moments as seconds, which JSON has.
NEWS = """
(SELECT jsonb_build_object(
    'now', extract(epoch FROM clock_timestamp()),
    'clusters', coalesce(jsonb_agg(jsonb_build_array(
        queues, workers, extract(epoch FROM started_at), extract(epoch FROM alive_until)
    )), '[]'::jsonb))
FROM bulkops_cluster)
"""


@dataclass(frozen=True)
class Workforce:
    """The clusters at one moment, those that have died lately too."""

    now: float
    """The database's time, in seconds since 1970."""
    clusters: list[tuple[list[str], int, float, float]]
    """Each with its queues, its number of workers, since when, and until when it is known to live."""

    @classmethod
    def told(cls, news: Any) -> Workforce:
        """What `NEWS` gave."""
        found = json.loads(news) if isinstance(news, str) else news
        return cls(found["now"], [tuple(one) for one in found["clusters"]])

    @classmethod
    def read(cls) -> Workforce:
        """One query."""
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {NEWS}")
            return cls.told(cursor.fetchone()[0])

    @property
    def lives(self) -> bool:
        """Whether any cluster does."""
        return any(until > self.now for *_, until in self.clusters)

    def workers(self, queue: str) -> int | None:
        """How many living ones take work from the queue; None where no living cluster serves it."""
        found = [workers for queues, workers, _, until in self.clusters if queue in queues and until > self.now]
        return sum(found) if found else None

    def seconds_since(self, moment: datetime, queue: str) -> float:
        """How long ago that was, without the time since in which nobody served the queue (as `pace` counts it)."""
        at = moment.timestamp()
        serving = [one for one in self.clusters if queue in one[0]]
        since = min((since for *_, since, until in serving if until > self.now), default=self.now)
        until = max((until for *_, until in serving if until <= self.now), default=at)
        return max(0.0, self.now - at - max(0.0, since - max(at, until)))
