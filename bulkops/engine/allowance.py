"""What one slice may begin of a job whose speed is limited: its permits, and when they lapse.

Permits are drawn when a chunk is claimed, where the job is locked anyway, and anew when they are used up and more are
free already, as where items are slower than the limit. Using one is counting, in this process.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from django.db import transaction

from bulkops import permits, transitions
from bulkops.clock import database_now
from bulkops.states import JobState

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from bulkops.models import Job

PACES_KEPT = 100
_paces: dict[UUID, float] = {}
"""Seconds that this process needed for an item of a limited job, when it last had one."""


class Allowance:
    """One slice's; without end while the job is not limited."""

    def __init__(self, job_id: UUID) -> None:
        self.job_id = job_id
        self._rate: float | None = None
        self._left: float = math.inf
        self._used = 0
        self._drawn_at = 0.0
        self._now: datetime | None = None

    @property
    def is_limited(self) -> bool:
        """Whether the job's speed was limited when permits were last drawn."""
        return self._rate is not None

    def may_claim(self, job: Job) -> bool:
        """Whether the slice has permits left, or there are some to be drawn. The caller holds the job's lock."""
        self._now = None
        if job.rate_per_second is None or (job.rate_per_second == self._rate and self._lasts()):
            return True
        self._now = database_now()
        return permits.free_at(job, self._now) <= self._now

    def draw(self, job: Job) -> None:
        """Take the permits that `may_claim` found, in the same transaction; there is something to use them on."""
        if job.rate_per_second is None:
            self._rate, self._left = None, math.inf
        elif self._now is not None:
            self._rate = job.rate_per_second
            self._left = self.wanted(job)
            permits.grant(job, self._now, self.wanted(job))
            self._used, self._drawn_at = 0, time.monotonic()

    def wanted(self, job: Job) -> int:
        """How many permits to draw at once: one, as long as nobody knows how fast this process is; 0: not limited."""
        if job.rate_per_second is None:
            return 0
        pace = _paces.get(self.job_id)
        return 1 if pace is None else permits.of_a_grant(job.rate_per_second, pace)

    def use(self) -> None:
        """An item begins."""
        self._left -= 1
        self._used += 1

    def goes_on(self) -> bool:
        """After an item: whether another may begin. Draws anew where permits are free, which locks the job shortly."""
        if self._rate is None:
            return True
        self._note_pace()
        return self._lasts() or self._draw_anew()

    def _lasts(self) -> bool:
        return self._left >= 1 and time.monotonic() - self._drawn_at < permits.life_seconds()

    def _note_pace(self) -> None:
        if len(_paces) >= PACES_KEPT and self.job_id not in _paces:
            _paces.clear()
        _paces[self.job_id] = (time.monotonic() - self._drawn_at) / max(1, self._used)

    def _draw_anew(self) -> bool:
        if self._rate is None or time.monotonic() - self._drawn_at < self._used / self._rate:
            return False  # nobody need be asked: this slice's own grant stands in the way
        with transaction.atomic():
            job = transitions.lock_job(self.job_id)
            if job is None or job.state != JobState.RUNNING or not self.may_claim(job):
                return False
            self.draw(job)
            return True
