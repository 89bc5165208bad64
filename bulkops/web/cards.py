"""How a job looks: its figures and state as the templates show them. Its queries are snapshots.py's and progress.py's.

A fragment says in its own address what it shows (`seen`), so that the server can answer “nothing new” and leave what
has the keyboard's focus alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, ngettext_lazy

from bulkops import holds, lineage, permissions, progress, registry, snapshots, wording
from bulkops.conf import conf
from bulkops.exceptions import UnknownOperation
from bulkops.states import STOPPING, JobState
from bulkops.web import graphs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from bulkops.models import Job
    from bulkops.progress import Progress
    from bulkops.web.graphs import Graph

TONES = {
    JobState.PREPARING: "busy",
    JobState.QUEUED: "waiting",
    JobState.RUNNING: "busy",
    JobState.PAUSING: "waiting",
    JobState.PAUSED: "waiting",
    JobState.CANCELLING: "waiting",
    JobState.COMPLETED: "good",
    JobState.COMPLETED_WITH_ERRORS: "mixed",
    JobState.CANCELLED: "quiet",
    JobState.FAILED: "bad",
}
"""The colour of a state; app.css has one class for each."""

_RETRIES = {
    lineage.FAILED: ngettext_lazy("Retry %(n)s failed %(items)s", "Retry %(n)s failed %(items)s", "count"),
    lineage.UNPROCESSED: ngettext_lazy(
        "Go on with %(n)s unprocessed %(items)s", "Go on with %(n)s unprocessed %(items)s", "count"
    ),
    lineage.IN_DOUBT: ngettext_lazy(
        "Try %(n)s %(items)s in doubt again", "Try %(n)s %(items)s in doubt again", "count"
    ),
}

ADVICE_CHARS = 300
"""What the card shows of a job's error."""
SILENCE_SECONDS = 4
"""A fragment that is not replaced this long after its poll was due says that there is no news."""
SILENCE_CLASSES = (5, 9, 14, 34, 64)
"""Delays that app.css has a class for: no inline style is allowed to name another."""


@dataclass(frozen=True)
class Card:
    """One job, ready to be shown."""

    job: Job
    figures: Progress
    place: str = ""
    """Where it is shown: “job” and “home” are our own pages, anything else is somebody's."""

    @property
    def retitle(self) -> bool:
        """Whether its fragment also sets the tab's title; somebody else's page keeps its own."""
        return self.place in {"job", "home"}

    @property
    def named(self) -> bool:
        """Whether it says which job it is; on the job's own page the heading does."""
        return self.place != "job"

    @property
    def title(self) -> str:
        return title(self.job)

    @property
    def label(self) -> str:
        """What a screen reader calls the whole card. Put together here: each poll would render a `blocktranslate`."""
        return gettext("Progress of %(title)s") % {"title": self.title}

    @property
    def of_total(self) -> str:
        return gettext("of %(total)s") % {"total": f"{self.figures.total:,}"}

    @property
    def operation_title(self) -> str:
        return operation_title(self.job.operation)

    @property
    def state_label(self) -> str:
        return gettext(JobState(self.job.state).label).capitalize()

    @property
    def advice(self) -> str:
        """What to do next, or why it failed: of a long error its first line, since the page has all of it below."""
        told = wording.for_people(self.figures.advice)
        if len(told) <= ADVICE_CHARS:
            return told
        return f"{told.splitlines()[0][: ADVICE_CHARS - 1].rstrip()} …"

    @property
    def tone(self) -> str:
        # Where nobody works, the turning icon of a running job would say that somebody does.
        return "mixed" if self.figures.stalled else TONES[JobState(self.job.state)]

    @property
    def closing(self) -> str:
        """What happens when nobody looks."""
        if not self.job.is_active or self.job.state in STOPPING:
            return ""
        if self.job.state == JobState.PAUSED:
            return gettext("You can close this page; the job waits until it is resumed.")
        if self.figures.stalled:
            return ""  # Beside “no worker is running” it would be untrue.
        return gettext("You can close this page; the work goes on.")

    @property
    def counting(self) -> bool:
        """Whether there is a share to show: the items are known."""
        return self.figures.total is not None

    @property
    def bar_max(self) -> int:
        """Never 0, which no bar can have."""
        return self.figures.total or 1

    @property
    def bar_value(self) -> int:
        return self.bar_max if self.figures.total == 0 else self.figures.processed

    @property
    def graph(self) -> Graph | None:
        """How fast it was over its time; on its own page only, and only where there is a course to be seen."""
        return graphs.of(self.figures.course) if self.place == "job" else None

    @property
    def tab_title(self) -> str:
        if self.job.is_active and self.counting:
            return f"{self.figures.percent} % · {self.title}"
        return f"{self.state_label} · {self.title}"

    @property
    def spoken(self) -> str:
        """What a screen reader says; it changes with the state and every ten percent."""
        if not self.counting or not self.job.is_active:
            return f"{self.title}: {self.figures.words}"
        spoken = gettext("%(title)s: %(words)s, %(percent)s percent")
        return spoken % {
            "title": self.title,
            "words": self.figures.words,
            "percent": self.figures.percent // 10 * 10,
        }

    @property
    def seen(self) -> str:
        """What this card tells: the state, and the ten percent that were spoken."""
        return f"{self.job.state}.{self.figures.percent // 10}"

    @property
    def poll_seconds(self) -> float:
        return conf().poll_paused_seconds if self.job.state == JobState.PAUSED else conf().poll_seconds

    @property
    def poll(self) -> str:
        """How often the card asks for news, as htmx writes it; empty once the job has ended."""
        return interval(self.poll_seconds) if self.job.is_active else ""

    @property
    def silence_class(self) -> str:
        return silence_class(self.poll_seconds)

    @property
    def refresh_seconds(self) -> int:
        """How often a page without JavaScript loads itself again; 0 once the job has ended."""
        return max(2, math.ceil(self.poll_seconds)) if self.job.is_active else 0

    def changed_since(self, seen: str) -> bool:
        """Whether the state is another than the one a fragment named."""
        return seen.partition(".")[0] != self.job.state


@dataclass(frozen=True)
class Controls:
    """The buttons that a job's state and this user's rights allow."""

    job: Job
    cancellable: bool
    pausable: bool
    resumable: bool
    left: dict[str, int] = field(default_factory=dict)
    """What can be retried: items by kind."""
    limitable: bool = False
    """Whether its speed limit can be changed."""
    forcible: bool = False
    """Whether a worker still has an item in hand, although the job is to stop."""

    @property
    def seen(self) -> str:
        flags = {"c": self.cancellable, "p": self.pausable, "r": self.resumable, "t": self.left}
        flags |= {f"l{self.rate}": self.limitable, "f": self.forcible}
        return "".join(letter for letter, given in flags.items() if given) or "none"

    @property
    def retries(self) -> list[tuple[str, str]]:
        """Each kind that can be retried, with the words of its button."""
        return [
            (kind, _RETRIES[kind] % {"count": n, "n": f"{n:,}", "items": wording.noun(self.job.operation, n)})
            for kind, n in self.left.items()
        ]

    @property
    def cancelling(self) -> bool:
        return self.job.state == JobState.CANCELLING

    @property
    def by_force(self) -> str:
        """What was asked of the job, as the button says it that insists."""
        return gettext("Cancel by force") if self.cancelling else gettext("Pause by force")

    @property
    def rate(self) -> str:
        """The speed limit as it stands in its field; empty: none."""
        return "" if self.job.rate_per_second is None else f"{self.job.rate_per_second:g}"

    @property
    def poll(self) -> str:
        """Seldom: the card's event comes first, this is for the one that got lost. Empty once the job has ended."""
        return interval(conf().poll_paused_seconds) if self.job.is_active else ""


def of(job: Job, place: str = "") -> Card:
    """The card of one job, read anew in one query."""
    found = snapshots.of(job.pk)
    return Card(*(found or (job, progress.of(job))), place)


def seen_by(user: Any, pk: UUID, place: str) -> Card | None:
    """The card of that job, if this user may see it; one query for one's own job."""
    found = snapshots.of(pk)
    return Card(*found, place) if found is not None and permissions.may_see(user, found[0]) else None


def of_many(jobs: Iterable[Job]) -> list[Card]:
    """The cards of many jobs, with queries that do not grow with them."""
    jobs = list(jobs)
    figures = progress.of_many(jobs)
    return [Card(job, figures[job.pk]) for job in jobs]


def controls(job: Job, user: Any, figures: Progress | None = None) -> Controls:
    """What this user may do with the job now; nothing for one who may only watch."""
    if not permissions.may_control(user, job):
        return Controls(job, cancellable=False, pausable=False, resumable=False)
    now = figures or progress.of(job)
    allowed = progress.allowed(job, now)
    return Controls(
        job,
        cancellable=allowed["cancellable"],
        pausable=allowed["pausable"],
        resumable=allowed["resumable"],
        left=now.left,
        limitable=job.is_active and job.state != JobState.CANCELLING,
        forcible=job.state in STOPPING and holds.any_held(job) and not holds.is_complete(job),
    )


def title(job: Job) -> str:
    """What people call the job."""
    return job.name or operation_title(job.operation)


def operation_title(name: str) -> str:
    """The operation's name for people, also when the operation is gone."""
    try:
        return registry.get(name).title
    except UnknownOperation:
        return name.replace("-", " ").capitalize()


def interval(seconds: float) -> str:
    """A poll interval as htmx writes it: “1s”, “1500ms”."""
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{int(seconds * 1000)}ms"


def silence_class(poll_seconds: float) -> str:
    """The CSS class that reveals “no news” unless the next fragment comes in time."""
    wanted = poll_seconds + SILENCE_SECONDS
    return f"silence-{next((step for step in SILENCE_CLASSES if step >= wanted), SILENCE_CLASSES[-1])}"
