"""What one slice may begin of a job whose speed is limited: its permits, and when they lapse.

Permits are drawn when a chunk is claimed, where the job is locked anyway; using one is counting, in this process.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from bulkops import permits
from bulkops.clock import database_now

if TYPE_CHECKING:
    from datetime import datetime

    from bulkops.models import Job


class Allowance:
    """One slice's; without end while the job is not limited."""

    def __init__(self) -> None:
        self._rate: float | None = None
        self._left: float = math.inf
        self._lapses_at = math.inf
        self._now: datetime | None = None

    def may_claim(self, job: Job) -> bool:
        """Whether the slice has permits left, or there are some to be drawn. The caller holds the job's lock."""
        self._now = None
        if job.rate_per_second is None or (job.rate_per_second == self._rate and not self.used_up):
            return True
        self._now = database_now()
        return permits.free_at(job, self._now) <= self._now

    def draw(self, job: Job) -> None:
        """Take the permits that `may_claim` found, in the same transaction; there is a chunk to use them on."""
        if job.rate_per_second is None:
            self._rate, self._left, self._lapses_at = None, math.inf, math.inf
        elif self._now is not None:
            self._rate = job.rate_per_second
            self._left = permits.grant(job, self._now)
            self._lapses_at = time.monotonic() + permits.lapse_seconds(job)

    def use(self) -> None:
        """An item begins."""
        self._left -= 1

    @property
    def used_up(self) -> bool:
        """Whether no further item may begin."""
        return self._left < 1 or time.monotonic() >= self._lapses_at
