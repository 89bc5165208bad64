"""What a job's page shows below the card: items to look at, the result, the timeline of events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext

from bulkops import failure_groups, ledger_pages, registry, result_files, wording
from bulkops.conf import conf
from bulkops.models import Event, Outcome
from bulkops.states import TRANSITIONS, EventKind, JobState, OutcomeState
from bulkops.web import cards, items, mentions

if TYPE_CHECKING:
    from datetime import datetime

    from bulkops.models import Job

EVENTS_SHOWN = 100
FILES_SHOWN = 12
"""Items whose files a job's page shows."""
FILES_LOOKED_FOR = 1_000
"""Items among which they are looked for."""
ABOUT_AN_ITEM = frozenset({EventKind.DECIDED, EventKind.SET_ASIDE, EventKind.HOOK_FAILED})


@dataclass(frozen=True)
class Line:
    """One line of the timeline."""

    at: datetime
    what: str
    who: str
    why: str
    tone: str


@dataclass(frozen=True)
class Details:
    """Read once for a job; the items' own values only when they are shown."""

    job: Job
    notable: list[Outcome]
    events: list[Event]
    decidable: bool
    """Whether this user may say what became of an item in doubt."""
    outcomes_with_files: list[Outcome]
    user: Any
    """Who looks."""

    @classmethod
    def of(cls, job: Job, user: Any) -> Details:
        """Five queries or six, and those for the user's rights in a job of somebody else's."""
        events = Event.objects.filter(job=job).select_related("actor").order_by("-pk")
        return cls(
            job,
            _notable(job),
            list(events[:EVENTS_SHOWN]),
            decidable=items.are_decidable(user, job),
            outcomes_with_files=_outcomes_with_files(job),
            user=user,
        )

    @property
    def seen(self) -> str:
        """Changes whenever something here is new."""
        newest = self.events[0].pk if self.events else 0
        doubts = sum(outcome.state == OutcomeState.IN_DOUBT for outcome in self.notable)
        return f"{self.job.state}.{len(self.notable)}.{doubts}.{newest}.{len(self.outcomes_with_files)}"

    @property
    def poll(self) -> str:
        return cards.interval(conf().poll_paused_seconds) if self.job.is_active else ""

    @cached_property
    def failed(self) -> list[items.Item]:
        """The first items that are in doubt, or failed without a group."""
        return items.with_values(self.job, self.notable[: items.PAGE])

    @cached_property
    def made(self) -> list[items.Item]:
        """The first items that made files; their own values are not read."""
        found = [items.Item(outcome, None) for outcome in self.outcomes_with_files[:FILES_SHOWN]]
        return [item for item in found if item.files]

    @property
    def more_made(self) -> bool:
        return len(self.outcomes_with_files) > FILES_SHOWN

    @property
    def zippable(self) -> bool:
        """Whether another job can put all files together."""
        ended, own = not self.job.is_active, self.job.operation == result_files.ZIP_OPERATION
        return ended and not own and result_files.ZIP_OPERATION in (one.name for one in registry.every())

    @property
    def doubtful(self) -> bool:
        return any(outcome.state == OutcomeState.IN_DOUBT for outcome in self.notable)

    @property
    def worst(self) -> str:
        """The state whose whole list is worth a link: doubts alone are not hidden behind failures that are none."""
        return str(min((outcome.state for outcome in self.notable), default="", key=items.NOTABLE.index))

    @property
    def more_failed(self) -> bool:
        return len(self.notable) > items.PAGE

    @property
    def long_error(self) -> bool:
        """Whether the card shows no more than the beginning of why the job failed."""
        return len(self.job.error) > cards.ADVICE_CHARS and not self.job.is_active

    @property
    def has_result(self) -> bool:
        return self.job.result is not None

    @property
    def has_items(self) -> bool:
        """Whether there is anything to list: a job may have found none, or have ended before all were collected."""
        return bool(self.job.total)

    @property
    def incomplete(self) -> bool:
        """Whether items may be left that nothing became of."""
        return self.job.state not in {JobState.COMPLETED, JobState.COMPLETED_WITH_ERRORS}

    @cached_property
    def retried(self) -> bool:
        """Whether another job took items of this one, so that a report can follow them there."""
        return not self.job.is_active and self.job.children.exists()

    @property
    def timeline(self) -> list[Line]:
        """Newest first. One query more, or two, where an event names another job."""
        jobs = mentions.found((event.detail for event in self.events), self.user)
        lines = [_line(event) for event in self.events]
        return [replace(line, why=mentions.linked(line.why, jobs)) for line in lines]


def _notable(job: Job) -> list[Outcome]:
    """The first items to look at; failed ones are shown by their groups, where there are any.

    A query for each state: in one for both, PostgreSQL would read all of them to find the first hundred.
    """
    states = (OutcomeState.IN_DOUBT,) if failure_groups.exist(job.pk) else items.NOTABLE
    most = items.PAGE + 1
    found = [ledger_pages.page(job, state=state, size=most)[0] for state in states]
    return sorted(chain.from_iterable(found), key=attrgetter("position"))[:most]


def _outcomes_with_files(job: Job) -> list[Outcome]:
    # Of the first items only: there is no index over results, and a job may have a million without any.
    first = Outcome.objects.filter(job_id=job.pk, position__lt=FILES_LOOKED_FOR, result__has_key=result_files.KEY)
    return list(first.order_by("position")[: FILES_SHOWN + 1])


def _line(event: Event) -> Line:
    who: Any = event.actor.get_username() if event.actor else ""
    if event.kind == EventKind.STATE_CHANGED:
        to = JobState(event.to_state)
        # The table's reasons are written for operators; to its owner the state says it.
        known = TRANSITIONS.get((JobState(event.from_state), to))
        why = "" if event.detail == known else event.detail
        return Line(event.at, gettext(to.label).capitalize(), who, why, cards.TONES[to])
    if event.kind == EventKind.RESCUED:
        # Its detail counts what people never see; that it happened is what they need.
        return Line(event.at, gettext(EventKind.RESCUED.label).capitalize(), who, "", "waiting")
    if event.kind == EventKind.LATE_RESULT:
        return Line(event.at, gettext("A result arrived late"), who, wording.for_people(event.detail), "waiting")
    why = wording.for_people(event.detail) if event.kind in ABOUT_AN_ITEM else event.detail
    return Line(event.at, gettext(EventKind(event.kind).label).capitalize(), who, why, "quiet")
