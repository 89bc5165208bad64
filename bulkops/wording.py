"""A job in words, the same on every face: its state, what to do next, spans of time, and how it went in the end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.utils.translation import gettext

from bulkops import lineage, permits, registry
from bulkops.exceptions import UnknownOperation
from bulkops.states import ENDED, JobState

if TYPE_CHECKING:
    from bulkops.estimate import TimeLeft
    from bulkops.models import Job
    from bulkops.progress import Progress

AT_WORK = 0.9
"""A job that was at work for less than this share of its time says so."""
LOST = "A worker was lost; taking its work back"
_WORDS: dict[JobState, tuple[str, str]] = {
    JobState.QUEUED: ("Waiting for a free worker", ""),
    JobState.RUNNING: ("Running", ""),
    JobState.PAUSING: ("Pausing: the item in hand is finished first", ""),
    JobState.PAUSED: ("Paused", "Resume it to go on where it stands, or cancel it."),
    JobState.CANCELLING: ("Cancelling: the item in hand is finished first", ""),
    JobState.COMPLETED: ("Completed", ""),
    JobState.COMPLETED_WITH_ERRORS: ("Completed, with errors", ""),
    JobState.CANCELLED: ("Cancelled", ""),
    JobState.FAILED: ("Failed", ""),
}
_LEFT = {
    lineage.FAILED: "retry the {n:,} failed {items}",
    lineage.UNPROCESSED: "go on with the {n:,} {items} not processed",
    lineage.IN_DOUBT: "say what became of the {n:,} {items} in doubt, or try again",
}

_POSITION = re.compile(r"(?:^|(?<=: )|(?<=; ))Item (\d+)(?=[ ,:])", re.IGNORECASE)


def for_people(text: str) -> str:
    """Words with an item's position in them, as the engine writes them, with the number that pages give it, from 1."""
    return _POSITION.sub(lambda found: gettext("Item %(number)s") % {"number": f"{int(found[1]) + 1:,}"}, text)


def stalled(job: Job, *, any_worker: bool) -> tuple[str, str]:
    """State and advice of a job that nobody works on; `any_worker`: whether one lives that serves another queue."""
    if any_worker:
        return (
            f"No worker serves the queue “{job.queue}”: tell your administrator",
            "The job goes on as soon as one does.",
        )
    return "No worker is running: tell your administrator", "The job goes on as soon as there is one."


def state(job: Job, *, ahead: int | None, about: float | None, reason: str, retrying: bool) -> tuple[str, str]:
    """State and advice of any other: `about` are seconds of waiting, `retrying`: some items wait for another try."""
    words, advice = _WORDS.get(JobState(job.state), ("", ""))
    if job.state == JobState.PREPARING:
        words = "Collecting the items" if job.collects else "Checking the items"
        return (f"{words}: {job.prepared:,} so far" if job.prepared else words), ""
    if job.state == JobState.QUEUED and ahead:
        jobs = counted(ahead, "job")
        return f"Waiting: {jobs} ahead" if about is None else f"Waiting: {jobs} ahead, about {span(about)}", ""
    if job.state == JobState.RUNNING:
        limited = words if job.rate_per_second is None else f"{words}, {permits.in_words(job.rate_per_second)}"
        return f"{limited}; some items wait for another try" if retrying else limited, ""
    return (f"{words}: {reason}" if reason else words), advice


def ended(job: Job, figures: Progress) -> tuple[str, str]:
    """Of a job that is over: what happened, in a sentence or two, and what can be done next."""
    if job.state not in ENDED:
        return "", ""
    can = [_LEFT[kind].format(n=n, items=noun(job.operation, n)) for kind, n in figures.left.items()]
    advice = f"You can {'; or '.join(can)}." if can else ""
    if not can and (figures.failed or figures.in_doubt):
        advice = "A later job has taken what there was to retry."
    if job.state == JobState.FAILED:
        return f"{_story(job, figures)} {advice}".strip(), job.error
    return _story(job, figures), advice


def _story(job: Job, figures: Progress) -> str:
    total = figures.total or 0
    if figures.total == 0 and job.state in {JobState.COMPLETED, JobState.FAILED}:
        return f"There was no {noun(job.operation, 1)} to process."
    if not figures.processed:
        return "It ended before any item was processed."
    took = "" if figures.elapsed_seconds is None else f" in {span(figures.elapsed_seconds)}"
    worked = figures.course[-1][0] if figures.course else 0.0
    if figures.elapsed_seconds and 0 < worked < AT_WORK * figures.elapsed_seconds:
        took += f" ({span(worked)} at work)"
    if figures.rate_per_second and figures.processed > 1:
        took += f", {rate(figures.rate_per_second)}"
    whole = figures.processed == total
    named = f"{total:,} {noun(job.operation, total)}"
    done = f"All {named}" if whole and total > 1 else f"{figures.processed:,} of {named}"
    parts = [f"{done} {'was' if figures.processed == 1 else 'were'} processed{took}"]
    bad = [(figures.failed, "failed"), (figures.in_doubt, "in doubt"), (figures.skipped, "skipped")]
    ill = [f"{n:,} {words}" for n, words in bad if n]
    parts += [": " + ", ".join(ill)] if ill else []
    stays = "" if whole else " What was done stays done."
    return "".join(parts) + "." + stays


def noun(operation: str, number: int) -> str:
    """What so many of the operation's items are called, by its author or else in general: “tickets”."""
    try:
        return registry.get(operation).noun(number)
    except UnknownOperation:
        return "item" if number == 1 else "items"


def counted(number: int, noun: str) -> str:
    """“1 job”, “2,000 jobs”."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """A span of time in its two largest units: “0.4 s”, “8 s”, “3 min 20 s”, “5 h 12 min”, “3 d 4 h”."""
    whole = int(seconds)
    for size, unit, smaller, smaller_unit in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit}" + (f" {rest} {smaller_unit}" if rest else "")
    return f"{whole} s" if whole or seconds < 0.05 else f"{seconds:.1f} s"


def rate(per_second: float) -> str:
    """Items per second, minute or hour, whichever reads as a whole number: “85 a second”."""
    if per_second >= 10:
        return f"{per_second:,.0f} a second"
    if per_second >= 1:
        return f"{per_second:.1f} a second"
    if per_second * 60 >= 1:
        return f"{per_second * 60:.0f} a minute"
    return f"{per_second * 3600:.0f} an hour"


_SCALES = ((90, 1, "second"), (180 * 60, 60, "minute"), (48 * 3600, 3600, "hour"), (float("inf"), 86400, "day"))


def left(eta: TimeLeft) -> str:
    """“about 2 to 3 minutes”, “about 40 seconds”, “up to 5 seconds”: coarser, the longer it is."""
    size, unit = next((size, unit) for up_to, size, unit in _SCALES if eta.high <= up_to)
    step = _step(eta.high / size)
    low, high = (round(end / size / step) * step for end in (eta.low, eta.high))
    high = max(high, 1)
    noun = unit if high == 1 else f"{unit}s"
    if low == high:
        return f"about {high} {noun}"
    return f"about {low} to {high} {noun}" if low else f"up to {high} {noun}"


def _step(most: float) -> int:
    """Of figures up to that: no more than two of their digits tell anything."""
    return 1 if most <= 20 else 5 if most <= 60 else 10
