"""Items as a page lists them: outcomes page by page, each with the item's own value read from its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext

from bulkops import item_values, ledger_pages, lineage, permissions, result_files
from bulkops.states import OutcomeState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkops.models import Job, Outcome
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
        return gettext(OutcomeState(self.outcome.state).label)

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


def page(job: Job, *, state: str = "", fingerprint: str = "", after: int = -1) -> Page:
    """The outcomes behind a position, by keyset: the thousandth page costs what the first does."""
    shown, more = ledger_pages.page(job, state=state, fingerprint=fingerprint, after=after, size=PAGE)
    return Page(with_values(job, shown), shown[-1].position if more else None)


def single(job: Job, position: int) -> Page:
    """One item, if it was tried."""
    outcome = ledger_pages.at(job, position)
    return Page(with_values(job, [outcome] if outcome else []), None)


@dataclass(frozen=True)
class Untried:
    """An item that nothing has become of."""

    value: Any


def untried(job: Job, position: int) -> Untried | None:
    """The item at that position; None where there is none."""
    found = item_values.at(job, [position]).get(position)
    return None if found is None else Untried(found[0])


def are_decidable(user: Any, job: Job) -> bool:
    """Whether this user may say here what became of the job's items in doubt."""
    return permissions.may_control(user, job) and lineage.is_doubt_open(job)


def with_values(job: Job, outcomes: Sequence[Outcome]) -> list[Item]:
    """The outcomes together with their items' own values."""
    found = item_values.at(job, [outcome.position for outcome in outcomes])
    return [Item(outcome, *found.get(outcome.position, (None, ""))) for outcome in outcomes]
