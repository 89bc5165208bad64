"""A job in words, the same on every face: its state, what to do next, spans of time, and how it went in the end.

They are in the language that is active: a reader's on a page; the shell and the API ask in English (`english`). Each
message is a whole clause with places for figures, so that a translator can order its words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, gettext_noop, ngettext, ngettext_lazy, override

from bulkops import lineage, permits, registry
from bulkops.exceptions import UnknownOperation
from bulkops.states import ENDED, JobState

if TYPE_CHECKING:
    from bulkops.estimate import TimeLeft
    from bulkops.models import Job
    from bulkops.operation import Operation
    from bulkops.progress import Progress

AT_WORK = 0.9
"""A job that was at work for less than this share of its time says so."""
LOST = gettext_noop("A worker was lost; taking its work back")
_WORDS: dict[JobState, tuple[str, str]] = {
    JobState.QUEUED: (gettext_noop("Waiting for a free worker"), ""),
    JobState.RUNNING: (gettext_noop("Running"), ""),
    JobState.PAUSING: (gettext_noop("Pausing: the item in hand is finished first"), ""),
    JobState.PAUSED: (gettext_noop("Paused"), gettext_noop("Resume it to go on where it stands, or cancel it.")),
    JobState.CANCELLING: (gettext_noop("Cancelling: the item in hand is finished first"), ""),
    JobState.COMPLETED: (gettext_noop("Completed"), ""),
    JobState.COMPLETED_WITH_ERRORS: (gettext_noop("Completed with errors"), ""),
    JobState.CANCELLED: (gettext_noop("Cancelled"), ""),
    JobState.FAILED: (gettext_noop("Failed"), ""),
}
_LEFT = {
    lineage.FAILED: ngettext_lazy("retry the failed %(items)s", "retry the %(n)s failed %(items)s", "count"),
    lineage.UNPROCESSED: ngettext_lazy(
        "go on with the %(items)s not processed", "go on with the %(n)s %(items)s not processed", "count"
    ),
    lineage.IN_DOUBT: ngettext_lazy(
        "say what became of the %(items)s in doubt, or try again",
        "say what became of the %(n)s %(items)s in doubt, or try again",
        "count",
    ),
}

_ITEM = gettext_noop("Item %(number)s")


def for_people(text: str) -> str:
    """Words with an item's position in them, as engine and services write them, with its number on pages, from 1.

    What is kept is English; what was refused just now is in the reader's language.
    """
    here = gettext(_ITEM)
    either = "|".join(
        re.escape(words).replace(re.escape("%(number)s"), r"(\d+)") for words in dict.fromkeys((_ITEM, here))
    )
    pattern = rf"(?:^|(?<=: )|(?<=; ))(?:{either})(?=[ ,:])"

    def numbered(found: re.Match[str]) -> str:
        return here % {"number": f"{int(found[found.lastindex or 0]) + 1:,}"}

    return re.sub(pattern, numbered, text, flags=re.IGNORECASE)


def english() -> override:
    """A context in which words are the code's own: for programs, for the shell, and for what is kept."""
    return override(None)


def lost() -> str:
    """State of a job whose worker is gone, until its work is taken back."""
    return gettext(LOST)


def stalled(job: Job, *, any_worker: bool) -> tuple[str, str]:
    """State and advice of a job that nobody works on; `any_worker`: whether one lives that serves another queue."""
    if any_worker:
        words = gettext("No worker serves the queue “%(queue)s”: tell your administrator") % {"queue": job.queue}
        return words, gettext("The job goes on as soon as one does.")
    return (
        gettext("No worker is running: tell your administrator"),
        gettext("The job goes on as soon as there is one."),
    )


def state(job: Job, *, ahead: int | None, about: float | None, reason: str, retrying: bool) -> tuple[str, str]:
    """State and advice of any other: `about` are seconds of waiting, `retrying`: some items wait for another try."""
    if job.state == JobState.PREPARING:
        return _preparing(job), ""
    if job.state == JobState.QUEUED and ahead:
        return _waiting(ahead, about), ""
    words, advice = (gettext(one) if one else "" for one in _WORDS[JobState(job.state)])
    if job.state == JobState.RUNNING:
        limited = words if job.rate_per_second is None else f"{words}, {permits.in_words(job.rate_per_second)}"
        if retrying:
            limited = gettext("%(running)s; some items wait for another try") % {"running": limited}
        return limited, ""
    return (f"{words}: {reason}" if reason else words), advice


def _preparing(job: Job) -> str:
    figures = {"n": f"{job.prepared:,}"}
    if job.collects:
        return (
            gettext("Collecting the items: %(n)s so far") % figures if job.prepared else gettext("Collecting the items")
        )
    return gettext("Checking the items: %(n)s so far") % figures if job.prepared else gettext("Checking the items")


def _waiting(ahead: int, about: float | None) -> str:
    if about is None:
        words = ngettext("Waiting: %(n)s job ahead", "Waiting: %(n)s jobs ahead", ahead)
        return words % {"n": f"{ahead:,}"}
    words = ngettext("Waiting: %(n)s job ahead, about %(span)s", "Waiting: %(n)s jobs ahead, about %(span)s", ahead)
    return words % {"n": f"{ahead:,}", "span": span(about)}


def ended(job: Job, figures: Progress) -> tuple[str, str]:
    """Of a job that is over: what happened, in a sentence or two, and what can be done next."""
    if job.state not in ENDED:
        return "", ""
    can = [
        _LEFT[kind] % {"count": n, "n": f"{n:,}", "items": noun(job.operation, n)} for kind, n in figures.left.items()
    ]
    advice = gettext("You can %(do)s.") % {"do": gettext("; or ").join(can)} if can else ""
    if not can and (figures.failed or figures.in_doubt):
        advice = gettext("A later job has taken what there was to retry.")
    if job.state == JobState.FAILED:
        return f"{_story(job, figures)} {advice}".strip(), job.error
    return _story(job, figures), advice


def _story(job: Job, figures: Progress) -> str:
    total = figures.total or 0
    if figures.total == 0 and job.state in {JobState.COMPLETED, JobState.FAILED}:
        return gettext("There was no %(item)s to process.") % {"item": noun(job.operation, 1)}
    if not figures.processed:
        return gettext("It ended before any item was processed.")
    told = _done(job, figures)
    if figures.rate_per_second and figures.processed > 1:
        told += f", {rate(figures.rate_per_second)}"
    bad = [
        (figures.failed, gettext("%(n)s failed")),
        (figures.in_doubt, gettext("%(n)s in doubt")),
        (figures.skipped, gettext("%(n)s skipped")),
    ]
    ill = [words % {"n": f"{n:,}"} for n, words in bad if n]
    told = f"{told}; {', '.join(ill)}." if ill else f"{told}."
    return told if figures.processed == total else told + " " + gettext("What was done stays done.")


_ALL_DONE: Any = ngettext_lazy("All %(n)s %(items)s were processed", "All %(n)s %(items)s were processed", "count")
_SOME_DONE: Any = ngettext_lazy(
    "%(n)s of %(total)s %(items)s was processed", "%(n)s of %(total)s %(items)s were processed", "count"
)
_ALL_DONE_IN: Any = ngettext_lazy(
    "All %(n)s %(items)s were processed in %(span)s", "All %(n)s %(items)s were processed in %(span)s", "count"
)
_SOME_DONE_IN: Any = ngettext_lazy(
    "%(n)s of %(total)s %(items)s was processed in %(span)s",
    "%(n)s of %(total)s %(items)s were processed in %(span)s",
    "count",
)


def _done(job: Job, figures: Progress) -> str:
    total, done = figures.total or 0, figures.processed
    given = {"count": done, "n": f"{done:,}", "total": f"{total:,}", "items": noun(job.operation, total)}
    whole = done == total > 1
    if figures.elapsed_seconds is None:
        words = _ALL_DONE if whole else _SOME_DONE
    else:
        words = _ALL_DONE_IN if whole else _SOME_DONE_IN
        given["span"] = _took(figures)
    return str(words % given)


def _took(figures: Progress) -> str:
    """How long it was, and how much of that it was at work, where that is less."""
    elapsed = figures.elapsed_seconds or 0.0
    worked = figures.course[-1][0] if figures.course else 0.0
    if 0 < worked < AT_WORK * elapsed:
        return gettext("%(span)s (%(worked)s at work)") % {"span": span(elapsed), "worked": span(worked)}
    return span(elapsed)


def noun(operation: str, number: int) -> str:
    """What so many of the operation's items are called, by its author or else in general: “tickets”."""
    try:
        found = registry.get(operation)
    except UnknownOperation:
        return ngettext("item", "items", number)
    return _noun(found, number)


def _noun(operation: Operation, number: int) -> str:
    return operation.noun(number) if operation.names_items else ngettext("item", "items", number)


def counted(operation: Operation, number: int) -> str:
    """“1,204 tickets”; where the author gave no name, in the reader's language."""
    return f"{number:,} {_noun(operation, number)}"


def span(seconds: float) -> str:
    """A span of time in its two largest units: “0.4 s”, “8 s”, “3 min 20 s”, “5 h 12 min”, “3 d 4 h”."""
    whole = int(seconds)
    for size, unit, smaller, smaller_unit in _SPANS:
        if whole >= size:
            rest = whole % size // smaller
            words = gettext(unit) % {"n": whole // size}
            return f"{words} {gettext(smaller_unit) % {'n': rest}}" if rest else words
    return gettext(_SECONDS) % {"n": whole if whole or seconds < 0.05 else f"{seconds:.1f}"}


_SECONDS, _MINUTES, _HOURS, _DAYS = (
    gettext_noop("%(n)s s"),
    gettext_noop("%(n)s min"),
    gettext_noop("%(n)s h"),
    gettext_noop("%(n)s d"),
)
_SPANS = ((86400, _DAYS, 3600, _HOURS), (3600, _HOURS, 60, _MINUTES), (60, _MINUTES, 1, _SECONDS))


def rate(per_second: float) -> str:
    """Items per second, minute or hour, in two digits at least: “85 a second”, “1.2 a minute”."""
    if per_second >= 1:
        return gettext("%(n)s a second") % {"n": _two_digits(per_second)}
    if per_second * 60 >= 1:
        return gettext("%(n)s a minute") % {"n": _two_digits(per_second * 60)}
    return gettext("%(n)s an hour") % {"n": _two_digits(per_second * 3600)}


def unbroken(text: str) -> str:
    """A sentence in which no line ends between a figure and its unit, nor inside a span of time: “2 min 30 s”."""
    units = re.sub(r"(?<=\d) (?=\w{1,3}\b)", "\xa0", text)
    return re.sub(r"(\xa0\w{1,3}) (?=\d+\xa0\w{1,3}\b)", "\\1\xa0", units)


def _two_digits(number: float) -> str:
    if number < 1:
        return f"{number:.2g}"
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.1f}"


_ABOUT, _FROM_TO, _UP_TO = range(3)
_SCALES: tuple[tuple[float, int, tuple[Any, Any, Any]], ...] = (
    (
        90,
        1,
        (
            ngettext_lazy("about %(high)s second", "about %(high)s seconds", "high"),
            ngettext_lazy("about %(low)s to %(high)s second", "about %(low)s to %(high)s seconds", "high"),
            ngettext_lazy("up to %(high)s second", "up to %(high)s seconds", "high"),
        ),
    ),
    (
        180 * 60,
        60,
        (
            ngettext_lazy("about %(high)s minute", "about %(high)s minutes", "high"),
            ngettext_lazy("about %(low)s to %(high)s minute", "about %(low)s to %(high)s minutes", "high"),
            ngettext_lazy("up to %(high)s minute", "up to %(high)s minutes", "high"),
        ),
    ),
    (
        48 * 3600,
        3600,
        (
            ngettext_lazy("about %(high)s hour", "about %(high)s hours", "high"),
            ngettext_lazy("about %(low)s to %(high)s hour", "about %(low)s to %(high)s hours", "high"),
            ngettext_lazy("up to %(high)s hour", "up to %(high)s hours", "high"),
        ),
    ),
    (
        float("inf"),
        86400,
        (
            ngettext_lazy("about %(high)s day", "about %(high)s days", "high"),
            ngettext_lazy("about %(low)s to %(high)s day", "about %(low)s to %(high)s days", "high"),
            ngettext_lazy("up to %(high)s day", "up to %(high)s days", "high"),
        ),
    ),
)
"""Up to so many seconds, a range is told in units of so many, in these words."""


def left(eta: TimeLeft) -> str:
    """“about 2 to 3 minutes”, “about 40 seconds”, “up to 5 seconds”: coarser, the longer it is."""
    size, words = next((size, words) for up_to, size, words in _SCALES if eta.high <= up_to)
    step = _step(eta.high / size)
    low, high = (round(end / size / step) * step for end in (eta.low, eta.high))
    high = max(high, 1)
    kind = _ABOUT if low == high else _FROM_TO if low else _UP_TO
    return str(words[kind] % {"low": low, "high": high})


def _step(most: float) -> int:
    """Of figures up to that: no more than two of their digits tell anything."""
    return 1 if most <= 20 else 5 if most <= 60 else 10
