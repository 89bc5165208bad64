"""What a person may say about an input beforehand, and what was found out about it, for them to see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bulkops.inputs.encodings import Encoding

FORMATS = {"csv": "CSV", "jsonl": "JSON Lines", "json": "JSON", "txt": "lines"}
"""The formats, as `--format` and the page name them."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_NAMED_AT_MOST = 20
_NAME_CHARS = 80


@dataclass(frozen=True)
class Choice:
    """What a person says about an input; what is empty is found out."""

    format: str = ""
    """One of FORMATS."""
    encoding: str = ""
    """A key of `encodings.NAMES`."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """The operation's field that a column is taken as, by the column's name."""
    lenient: bool = False
    """Whether a column named there may be missing, because another file may have been chosen since."""


@dataclass
class Reading:
    """How an input is read. It is filled while the beginning is read, so it is whole once an item has come."""

    format: str
    told_apart: bool = False
    """Whether the format was found out from the content."""
    encoding: Encoding | None = None
    """None for typed and pasted text."""
    delimiter: str = ""
    header: list[str] = field(default_factory=list)
    """The columns as the input names them."""
    columns: dict[str, str] = field(default_factory=dict)
    """The operation's field that a column of another name was taken as."""
    unused: list[str] = field(default_factory=list)
    """Columns that the operation does not know; they stay with the items."""

    @property
    def sentences(self) -> list[str]:
        """What was assumed, in words; empty where nothing had to be."""
        said = [*self._how(), *self._mapped()]
        if self.unused:
            said.append(f"Kept with the items, but not used: {_listed([_quoted(name) for name in self.unused])}.")
        return said

    def _how(self) -> Iterator[str]:
        parts = []
        if self.told_apart or (self.format == "csv" and self.encoding is None):
            parts.append(FORMATS[self.format])
        if self.encoding is not None and (self.format == "csv" or self.encoding.codec != "utf-8"):
            parts.append(self.encoding.name)
        if self.format == "csv":
            parts.append(f"separated by {DELIMITERS.get(self.delimiter, f'“{self.delimiter}”')}")
        if parts:
            yield f"Read as {', '.join(parts)}."
        if self.encoding is not None and self.encoding.assumed:
            yield "The encoding is a guess: look whether all letters are right."

    def _mapped(self) -> Iterator[str]:
        pairs = [
            f"column {_quoted(name)} is taken as {taken}"
            for name, taken in self.columns.items()
            if name.casefold() != taken.casefold()  # which nobody would call another name
        ]
        if pairs:
            said = _listed(pairs)
            yield f"{said[0].upper()}{said[1:]}."

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "format": self.format,
            "encoding": self.encoding.codec if self.encoding is not None else None,
            "encoding_assumed": self.encoding is not None and self.encoding.assumed,
            "delimiter": self.delimiter or None,
            "columns": self.columns,
            "unused_columns": self.unused,
        }


class Items:
    """An iterator over an input's items, with its reading."""

    def __init__(self, items: Iterator[Any], reading: Reading) -> None:
        self._items = items
        self.reading = reading

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._items)


def _quoted(name: str) -> str:
    return f"“{name}”" if len(name) <= _NAME_CHARS else f"“{name[:_NAME_CHARS]}…”"


def _listed(words: list[str]) -> str:
    more = len(words) - _NAMED_AT_MOST
    return ", ".join(words[:_NAMED_AT_MOST]) + (f" and {more:,} more" if more > 0 else "")
