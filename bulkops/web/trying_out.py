"""A dry run as its page shows it: the first items with what would become of them, or why nobody can tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.utils.translation import ngettext

from bulkops import dry_run
from bulkops.exceptions import DryRunBusy
from bulkops.states import OutcomeState
from bulkops.web.items import TONES

if TYPE_CHECKING:
    from bulkops.services import Submission


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    tried: dry_run.Tried

    @property
    def number(self) -> int:
        """People count from 1."""
        return self.tried.position + 1

    @property
    def tone(self) -> str:
        return "quiet" if self.tried.state == dry_run.NOT_TRIED else TONES[OutcomeState(self.tried.state)]


@dataclass(frozen=True)
class Trial:
    """What is shown of a dry run."""

    rows: list[Row] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    """Where they were not run and stand nowhere else on the page."""
    why_not: str = ""
    problem: str = ""
    refused: str = ""

    @property
    def status(self) -> int:
        return HTTPStatus.CONFLICT if self.refused else HTTPStatus.OK

    @property
    def words(self) -> str:
        """The table's heading."""
        words = ngettext(
            "Tried the first item, and kept nothing", "Tried the first %(n)s items, and kept nothing", len(self.rows)
        )
        return words % {"n": len(self.rows)}


def trial(submission: Submission) -> Trial:
    """Try the first items of a checked submission; one at a time for each user, who is told so."""
    try:
        found = dry_run.run(submission)
    except DryRunBusy as busy:
        return Trial(refused=busy.message)
    shown = [] if found.tried or not submission.collects else found.items
    return Trial([Row(one) for one in found.tried], shown, found.why_not, found.problem)
