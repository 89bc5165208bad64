"""Items as a page lists them: outcomes page by page, each with the item's own value read from its manifest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bulkops import item_values, lineage, permissions, result_files
from bulkops.models import Outcome
from bulkops.states import OutcomeState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkops.models import Job
    from bulkops.result_files import ResultFile

PAGE = 100
NOTABLE = (OutcomeState.FAILED, OutcomeState.IN_DOUBT)
"""What somebody has to look at."""

TONES = {
    OutcomeState.SUCCEEDED: "good",
    OutcomeState.SKIPPED: "quiet",
    OutcomeState.FAILED: "bad",
    OutcomeState.IN_DOUBT: "mixed",
    OutcomeState.DEFERRED: "waiting",
}


_POSITION = re.compile(r"^Item (\d+)\b")


def for_people(text: str) -> str:
    """Words that begin with an item's position, as the engine writes them, with the number that the page gives it."""
    return _POSITION.sub(lambda found: f"Item {int(found[1]) + 1:,}", text)


@dataclass(frozen=True)
class Item:
    """An item with what became of it."""

    outcome: Outcome
    value: Any
    key: str = ""
    """What other systems know it by."""

    @property
    def number(self) -> int:
        """People count from 1."""
        return self.outcome.position + 1

    @property
    def state_label(self) -> str:
        return OutcomeState(self.outcome.state).label

    @property
    def code(self) -> str:
        """The error's code, where the words do not begin with it and the state does not say it."""
        code = self.outcome.error_code
        told = self.outcome.message.startswith(code) or code.replace("-", "_") == self.outcome.state
        return "" if told else code

    @property
    def files(self) -> list[ResultFile]:
        """What it made, as far as that is files."""
        return result_files.of_result(self.outcome.job_id, self.outcome.position, self.outcome.result)

    @property
    def said(self) -> Any:
        """Its result without the files, which are listed by themselves."""
        result: Any = self.outcome.result
        if not self.files:
            return result
        return {name: value for name, value in result.items() if name != result_files.KEY and value is not None} or None

    @property
    def undecided(self) -> bool:
        return self.outcome.state == OutcomeState.IN_DOUBT

    @property
    def tone(self) -> str:
        return TONES[OutcomeState(self.outcome.state)]


@dataclass(frozen=True)
class Page:
    """One page of a job's items, and where the next one begins."""

    items: list[Item]
    next_after: int | None


def page(job: Job, *, states: Sequence[OutcomeState] = (), after: int = -1) -> Page:
    """The outcomes behind a position, by keyset: the thousandth page costs what the first does."""
    outcomes = Outcome.objects.filter(job_id=job.pk, position__gt=after)
    if states:
        outcomes = outcomes.filter(state__in=states)
    found = list(outcomes.order_by("position")[: PAGE + 1])
    shown = found[:PAGE]
    return Page(with_values(job, shown), shown[-1].position if len(found) > PAGE else None)


def are_decidable(user: Any, job: Job) -> bool:
    """Whether this user may say here what became of the job's items in doubt."""
    return permissions.may_control(user, job) and lineage.is_doubt_open(job)


def with_values(job: Job, outcomes: Sequence[Outcome]) -> list[Item]:
    """The outcomes together with their items' own values."""
    found = item_values.at(job, [outcome.position for outcome in outcomes])
    return [Item(outcome, *found.get(outcome.position, (None, ""))) for outcome in outcomes]
