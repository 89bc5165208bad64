"""The columns of a report: what each is called, and what an item has to say in it.

Our own names are the same in every report. A column of the input that is called like one of them is told by a prefix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bulkops import manifests
from bulkops.models import Manifest
from bulkops.report.cells import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

POSITION = "position"
OUTCOME = ("state", "attempts", "error_code", "message", "result", "finished_at")
JOB = "job"
OWN = frozenset({POSITION, *OUTCOME, JOB})
ITEM = "item"
"""What items without fields have."""
PREFIX = "input."
MOST = 1_000
"""Input columns; items with more different fields than these are no table, and each is one cell of JSON."""
AT_ONCE = 20
"""Manifests read in one query."""


@dataclass(frozen=True)
class Columns:
    """The input's own columns, in the order in which the items first name them."""

    fields: tuple[str, ...]
    plain: bool
    """Whether there is a column for items, or for all of them, that have no fields."""
    tabular: bool = True

    @property
    def names(self) -> list[str]:
        """What the header calls them."""
        return [*(self._name(field) for field in self.fields), *([ITEM] if self.plain else [])]

    def _name(self, field: str) -> str:
        # Programs that load tables often take names for the same that differ in case alone.
        known = field.strip().casefold()
        ours = known in OWN or known.startswith(PREFIX) or (self.plain and known == ITEM)
        return PREFIX + field if ours else field

    def cells(self, item: Any) -> list[str]:
        """What an item says in each."""
        if isinstance(item, dict) and self.tabular:
            found = [text_of(item.get(field)) for field in self.fields]
            return [*found, ""] if self.plain else found
        return [*("" for _ in self.fields), text_of(item)]


def of(job_id: UUID, last: int) -> Columns:
    """The columns of a job's items up to a chunk's number. Reads every manifest; of a table's only the beginning."""
    fields: dict[str, None] = {}
    plain = False
    for payload in _payloads(job_id, last):
        named, some_plain = manifests.fields_of(payload)
        plain = plain or some_plain
        fields |= named
        if len(fields) > MOST:
            return Columns((), plain=True, tabular=False)
    return Columns(tuple(fields), plain)


def _payloads(job_id: UUID, last: int) -> Iterator[bytes | memoryview]:
    for first in range(0, last + 1, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, last + 1))
        stored = Manifest.objects.filter(job=job_id, number__in=list(numbers)).order_by("number")
        yield from stored.values_list("payload", flat=True)
