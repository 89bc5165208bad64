"""The first page's operations: those that somebody may run, found by their words, each with its last use by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext

from bulkops import permissions, registry, wording
from bulkops.states import JobState
from bulkops.web import cards, fetch

if TYPE_CHECKING:
    from django.http import HttpRequest

    from bulkops.models import Job
    from bulkops.operation import Operation

MANY = 8
"""From more operations than these on, there is a field to find one with."""


@dataclass(frozen=True)
class Tile:
    """One operation, as its card shows it."""

    operation: Operation
    last: Job | None = None
    """The newest job of it that this person started."""

    @property
    def outcome(self) -> str:
        """“completed, 1,204 tickets”."""
        if self.last is None:
            return ""
        state = gettext(JobState(self.last.state).label)
        if self.last.total is None:
            return state
        return f"{state}, {wording.counted(self.operation, self.last.total)}"

    @property
    def tone(self) -> str:
        return "quiet" if self.last is None else cards.TONES[JobState(self.last.state)]


@dataclass(frozen=True)
class OperationList:
    """What is shown of all operations."""

    tiles: list[Tile]
    find: str
    searchable: bool
    """Whether there are so many that a field to find one is worth its place."""
    count: int
    """Of those that this person may run, found or not."""

    @classmethod
    def of(cls, request: HttpRequest) -> OperationList:
        """What the request's user may run and asks for; one query for all that they ran."""
        find = request.GET.get("find", "").strip()[:100]
        mine = [one for one in registry.every() if permissions.may_submit(request.user, one)]
        found = [one for one in mine if _matches(one, find)]
        last = fetch.last_runs(request.user, [one.name for one in found])
        tiles = [Tile(one, last.get(one.name)) for one in found]
        return cls(tiles, find, searchable=len(mine) > MANY, count=len(mine))


def _matches(operation: Operation, find: str) -> bool:
    """Whether each of the words stands somewhere in what the card says, or in the operation's name."""
    said: Any = f"{operation.title} {operation.name} {operation.description}".casefold()
    return all(word in said for word in find.casefold().split())
