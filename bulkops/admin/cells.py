"""What the admin shows of a job in one cell: its bar, its counts, its state, where it leads to.

Bar, counts and state of an active job move: their elements have ids, by which a later answer replaces each alone. So a
ticked box, a text being selected and the keyboard's focus stay where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from bulkops import job_ids, progress
from bulkops.states import JobState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkops.models import Job
    from bulkops.progress import Progress

OUT_OF_BAND = SafeString(' hx-swap-oob="true"')
"""Says to htmx that the element takes the place of the one with its id, wherever that stands."""

TONES = {
    JobState.COMPLETED: "good",
    JobState.COMPLETED_WITH_ERRORS: "mixed",
    JobState.FAILED: "bad",
    JobState.CANCELLED: "quiet",
    JobState.PAUSED: "quiet",
    JobState.PAUSING: "quiet",
    JobState.CANCELLING: "quiet",
}
"""The colour of a state's dot, which admin.css knows; others are busy."""


def title(job: Job) -> str:
    """Its name, or the end of its id."""
    return job.name or job_ids.short(job.pk)


def figures_of(job: Job) -> Progress:
    """The figures found for the whole page, or this one job's."""
    if not hasattr(job, "figures"):
        job.figures = progress.of(job)  # type: ignore[attr-defined]
    return job.figures  # type: ignore[attr-defined]


def bar(job: Job, replaced: str = "") -> str:
    """How far it is. `replaced` is OUT_OF_BAND in an answer to htmx."""
    return format_html(
        '<span class="job-bar tone-{tone}" id="bar-{key}"{replaced}>'
        '<progress id="bar-{key}-drawn" max="100" value="{percent}" aria-label="{percent} %">{percent} %</progress>'
        " {percent} %</span>",
        key=job.pk.hex,
        tone=tone(job),
        replaced=replaced,
        percent=figures_of(job).percent,
    )


def counts(job: Job, replaced: str = "") -> str:
    """How many of how many, and how many went wrong."""
    now = figures_of(job)
    total = "?" if now.total is None else f"{now.total:,}"
    bad = ((now.failed, gettext("%(n)s failed")), (now.in_doubt, gettext("%(n)s in doubt")))
    wrong = "".join(f", {words % {'n': f'{n:,}'}}" for n, words in bad if n)
    return format_html(
        '<span class="job-counts" id="counts-{}"{}>{}{}</span>',
        job.pk.hex,
        replaced,
        gettext("%(done)s of %(total)s") % {"done": f"{now.processed:,}", "total": total},
        wrong,
    )


def state(job: Job, replaced: str = "") -> str:
    """Its state, and in words what it does or waits for where that says more."""
    now, label = figures_of(job), gettext(job.get_state_display())
    # “Paused: the shop is closed” beside “paused” need not say it twice.
    words = now.words[len(label) + 2 :] if now.words.casefold().startswith(f"{label}: ") else now.words
    says_more = words.casefold() not in {label.casefold(), label.replace(" with", ", with").casefold()}
    more = format_html(' <span class="job-words">{}</span>', words) if says_more else ""
    return format_html(
        '<span class="job-state tone-{}{}" id="state-{}"{}>'
        '<span class="job-word"><span class="job-dot" aria-hidden="true"></span>{}</span>{}</span>',
        tone(job),
        " stalled" if now.stalled else "",
        job.pk.hex,
        replaced,
        label,
        more,
    )


def tone(job: Job) -> str:
    """The colour of its state."""
    return TONES.get(JobState(job.state), "busy")


def done(job: Job, replaced: str = "") -> str:
    """How far it is, drawn and counted."""
    return format_html("{}{}", bar(job, replaced), counts(job, replaced))


def links(job: Job) -> str:
    """To its page, its items, its events and its report."""
    change = reverse("admin:bulkops_job_change", args=[job.pk])
    return joined(
        [
            (gettext("page"), job.get_absolute_url()),
            (gettext("items"), reverse("bulkops:job-items", args=[job.pk])),
            (gettext("events"), f"{change}#events"),
            (gettext("report"), f"{reverse('bulkops:job-report', args=[job.pk])}?bom=1"),
        ]
    )


def family(parent: Job | None, children: Iterable[Job]) -> str:
    """The job whose items it took, and those that took of its own."""
    found = [(gettext("retries %(job)s") % {"job": title(parent)}, _change(parent))] if parent is not None else []
    by = gettext("retried by %(job)s, %(state)s")
    found += [
        (by % {"job": title(child), "state": gettext(child.get_state_display())}, _change(child)) for child in children
    ]
    return joined(found)


def link(job: Job) -> str:
    """To the job in the admin."""
    return format_html('<a href="{}">{}</a>', _change(job), title(job))


def _change(job: Job) -> str:
    return reverse("admin:bulkops_job_change", args=[job.pk])


def joined(pairs: Iterable[tuple[str, str]]) -> str:
    """Words that lead somewhere, side by side."""
    # The dot belongs to the word before it: no line begins with one.
    return format_html_join(" ", '<a href="{1}">{0}</a>{2}', _dotted(list(pairs)))


def _dotted(pairs: list[tuple[str, str]]) -> Iterable[tuple[str, str, str]]:
    last = len(pairs) - 1
    return ((words, address, "" if n == last else "\xa0·") for n, (words, address) in enumerate(pairs))
