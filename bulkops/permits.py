"""A job's speed limit: permits to begin items, granted to a slice at a time, so that no item waits for a lock.

The job's row says when the next grant may be made (`rate_from`, by the database's clock); a grant of n permits moves it
on by n / rate. A grant lapses after a while, and one that is made late by some moments does not put the next one off.
Size, life and lateness together are `rate_quantum_seconds`: so in any second at most rate * (1 + that) items begin,
whoever stalls with permits in hand, or two more than the rate where that is more. Everything here runs in a transaction
whose caller has locked the job.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, ngettext_lazy

from bulkops.clock import database_now
from bulkops.conf import conf
from bulkops.models import Job

if TYPE_CHECKING:
    from datetime import datetime


SIZE, LIFE, LATENESS = 0.4, 0.4, 0.2
"""Parts of the quantum."""
SAFELY = 0.8
"""Of its life, what a grant is to be used up in; items are not all as fast."""
_UNITS: Any = (
    (1, ngettext_lazy("at most %(n)s item a second", "at most %(n)s items a second", "count")),
    (60, ngettext_lazy("at most %(n)s item a minute", "at most %(n)s items a minute", "count")),
    (3600, ngettext_lazy("at most %(n)s item an hour", "at most %(n)s items an hour", "count")),
)


def in_words(rate: float | None) -> str:
    """“at most 5 items a second”, “at most 3 items a minute”."""
    if rate is None:
        return gettext("no limit")
    per, words = next((one for one in _UNITS if rate * one[0] >= 1), _UNITS[-1])
    figure = f"{rate * per:,.0f}" if rate * per >= 1000 else f"{rate * per:.3g}"
    count = 1 if figure == "1" else max(2, round(rate * per))
    return str(words % {"count": count, "n": figure})


def life_seconds() -> float:
    """How long a grant counts; its items begin within this time or not on its account."""
    return LIFE * conf().rate_quantum_seconds


def of_a_grant(rate: float, pace: float = 0.0) -> int:
    """How many permits a slice gets at once: for a part of the quantum, but no more than it can use up.

    `pace`: seconds that its worker needs for an item; 0 where that is not known.
    """
    wanted = rate * SIZE * conf().rate_quantum_seconds
    usable = SAFELY * life_seconds() / pace if pace else wanted
    return max(1, math.floor(min(wanted, usable)))


def free_at(job: Job, now: datetime) -> datetime:
    """When the next grant may be made; now, where that is past or the job is not limited."""
    return now if job.rate_per_second is None or job.rate_from is None else max(job.rate_from, now)


def free_place(job: Job, now: datetime, taken: list[datetime], wanted: int = 0) -> datetime:
    """When a turn may try for a grant of so many: as soon as one is free that none of the other turns waits for.

    `taken`: the times of those, in order.
    """
    place = free_at(job, now)
    if job.rate_per_second is None:
        return place
    spacing = timedelta(seconds=(wanted or of_a_grant(job.rate_per_second)) / job.rate_per_second)
    for other in taken:
        if other < place + spacing / 2:
            place = max(place, other) + spacing
    return place


def grant(job: Job, now: datetime, wanted: int) -> None:
    """Take so many permits of a limited job for one slice; the caller has seen that they are free now."""
    if job.rate_per_second is not None:
        spacing = timedelta(seconds=wanted / job.rate_per_second)
        lateness = min(spacing, timedelta(seconds=LATENESS * conf().rate_quantum_seconds))
        _write(job, job.rate_per_second, max(job.rate_from or now, now - lateness) + spacing)


def change(job: Job, rate: float | None) -> None:
    """Give the job another limit, or none. What a slow limit had put off for long is not waited for."""
    earliest = None
    if rate is not None and job.rate_per_second is not None and job.rate_from is not None:
        earliest = min(job.rate_from, database_now() + timedelta(seconds=1 / rate))
    _write(job, rate, earliest)


def _write(job: Job, rate: float | None, earliest: datetime | None) -> None:
    Job.objects.filter(pk=job.pk).update(rate_per_second=rate, rate_from=earliest)
    job.rate_per_second, job.rate_from = rate, earliest
