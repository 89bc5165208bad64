"""A job's speed limit: permits to begin items, granted to a slice at a time, so that no item waits for a lock.

The job's row says when the next grant may be made (`rate_from`, by the database's clock); a grant of n permits moves it
on by n / rate. A grant counts until every other turn had its own, then what is left of it lapses; one that is taken
late, by less than the time to the next, does not put the next one off. So in any second at most
rate * (1 + `rate_quantum_seconds`) items begin, or a few single ones where the limit is low. Everything here runs in a
transaction whose caller has locked the job.
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING

from bulkops.clock import database_now
from bulkops.conf import conf
from bulkops.models import Job

if TYPE_CHECKING:
    from datetime import datetime


_UNITS = ((1, "a second"), (60, "a minute"), (3600, "an hour"))


def in_words(rate: float | None) -> str:
    """“at most 5 items a second”, “at most 3 items a minute”."""
    if rate is None:
        return "no limit"
    per, unit = next((one for one in _UNITS if rate * one[0] >= 1), _UNITS[-1])
    figure = f"{rate * per:,.0f}" if rate * per >= 1000 else f"{rate * per:.3g}"
    return f"at most {figure} item{'' if figure == '1' else 's'} {unit}"


def of_a_grant(rate: float, parallelism: int) -> int:
    """How many permits a slice gets at once.

    At the worst each worker begins a whole grant, and one more that was taken late, within the same moment: together
    they are what may begin in a quantum of time.
    """
    return max(1, math.floor(rate * conf().rate_quantum_seconds / (parallelism + 1)))


def spacing_seconds(job: Job) -> float:
    """Seconds from one grant to the next, whichever worker gets it; 0 where the job is not limited."""
    rate = job.rate_per_second
    return of_a_grant(rate, job.parallelism) / rate if rate else 0.0


def lapse_seconds(job: Job) -> float:
    """How long a grant counts: until each of the job's turns could have had one."""
    return spacing_seconds(job) * job.parallelism


def free_at(job: Job, now: datetime) -> datetime:
    """When the next grant may be made; now, where that is past or the job is not limited."""
    return now if job.rate_per_second is None or job.rate_from is None else max(job.rate_from, now)


def free_place(job: Job, now: datetime, taken: list[datetime]) -> datetime:
    """When a turn may try for a grant: as soon as one is free that none of the job's other turns waits for.

    `taken`: the times of those, in order.
    """
    place = free_at(job, now)
    spacing = timedelta(seconds=spacing_seconds(job))
    for other in taken:
        if spacing and other < place + spacing / 2:
            place = max(place, other) + spacing
    return place


def grant(job: Job, now: datetime) -> int:
    """Take permits of a limited job for one slice; the caller has seen that they are free now."""
    spacing = timedelta(seconds=spacing_seconds(job))
    _write(job, job.rate_per_second, max(job.rate_from or now, now - spacing) + spacing)
    return of_a_grant(job.rate_per_second, job.parallelism) if job.rate_per_second else 0


def change(job: Job, rate: float | None) -> None:
    """Give the job another limit, or none. What a slow limit had put off for long is not waited for."""
    earliest = None
    if rate is not None and job.rate_per_second is not None and job.rate_from is not None:
        earliest = min(job.rate_from, database_now() + timedelta(seconds=1 / rate))
    _write(job, rate, earliest)


def _write(job: Job, rate: float | None, earliest: datetime | None) -> None:
    Job.objects.filter(pk=job.pk).update(rate_per_second=rate, rate_from=earliest)
    job.rate_per_second, job.rate_from = rate, earliest
