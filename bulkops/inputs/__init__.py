"""Reads items out of what people give: CSV, JSON Lines, JSON and plain text, from files, standard input and text boxes.

Owns encodings, delimiters, headers, line numbers and the limits on size. What an item's fields may hold is left to the
operation, and what can be stored at all to `manifests`. All but JSON is read as a stream: a line, or a quoted row, is
what is in memory; a stream that can be read only once goes to a temporary file first, because its encoding is known
only at its end. A line number in an error is where the row starts.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from django.utils.translation import gettext

from bulkops.exceptions import InputError
from bulkops.inputs import encodings, formats, json_values, streams, tables
from bulkops.inputs.encodings import Encoding
from bulkops.inputs.formats import ACCEPTED_SUFFIXES, SUFFIXES
from bulkops.inputs.limits import Limits, body_limits, counted, file_limits
from bulkops.inputs.reading import FORMATS, Choice, Items, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bulkops.operation import Operation

__all__ = [
    "ACCEPTED_SUFFIXES",
    "ENCODINGS",
    "FORMATS",
    "SUFFIXES",
    "Choice",
    "Items",
    "Preview",
    "Reading",
    "read_file",
    "read_pasted",
]

ENCODINGS = encodings.NAMES
_NOTHING_SAID = Choice()
_UTF_8 = Encoding("utf-8")


@dataclass(frozen=True)
class Preview:
    """The beginning of an input that was read to its end without an error."""

    items: list[Any]
    """The first few, at most `preview_items`."""
    total: int

    @property
    def columns(self) -> list[str]:
        """Headings for a table of `items`: the keys of the first one; empty where items have no fields."""
        return list(self.items[0]) if self.items and isinstance(self.items[0], dict) else []


def read_file(file: IO[bytes], name: str, operation: Operation | None = None, choice: Choice = _NOTHING_SAID) -> Items:
    """The items of a binary stream, read as the choice or else its name's suffix says.

    Raises InputError at once for another suffix or one that cannot carry the operation's items; while iterating,
    InputError for what cannot be read and InputTooLarge.
    """
    reading = Reading(choice.format or formats.of_file(name))
    _refuse_lines(
        reading,
        operation,
        gettext(
            "This operation's items have fields (%(fields)s), which a .txt file cannot name: use a .csv, .jsonl or "
            ".json file."
        ),
    )
    return Items(_from_file(file, reading, operation, choice), reading)


def read_pasted(text: str, operation: Operation | None = None, choice: Choice = _NOTHING_SAID) -> Items:
    """The items of typed or pasted text, in the format of the choice or else the one it looks like.

    Raises InputError at once for lines where the operation has an `Item` form; while iterating, InputError and
    InputTooLarge.
    """
    found = choice.format or formats.of_text(text, operation)
    usual = "csv" if operation is not None and operation.Item is not None else "txt"
    reading = Reading(found, told_apart=not choice.format and found != usual)
    words = gettext("This operation's items have fields (%(fields)s), which plain lines cannot name: give CSV or JSON.")
    _refuse_lines(reading, operation, words)
    # A lone surrogate has no UTF-8 form; passed on, it is refused below with its line.
    stream = io.BytesIO(text.removeprefix("\ufeff").encode("utf-8", "surrogatepass"))
    return Items(_read(stream, _UTF_8, body_limits(), reading, operation, choice), reading)


def _refuse_lines(reading: Reading, operation: Operation | None, words: str) -> None:
    if reading.format == "txt" and operation is not None and operation.Item is not None:
        fields = ", ".join(operation.Item().fields)
        raise InputError(words % {"fields": fields})


def _from_file(file: IO[bytes], reading: Reading, operation: Operation | None, choice: Choice) -> Iterator[Any]:
    limits = file_limits()
    with streams.seekable(file, limits) as stream:
        # JSON is Unicode by its definition; to guess would be to accept what no other reader does.
        guess = reading.format in {"csv", "txt"}
        reading.encoding = encodings.detect(stream, limits, wanted=choice.encoding, guess=guess)
        yield from _read(stream, reading.encoding, limits, reading, operation, choice)


def _read(
    stream: IO[bytes],
    encoding: Encoding,
    limits: Limits,
    reading: Reading,
    operation: Operation | None,
    choice: Choice,
) -> Iterator[Any]:
    if reading.format == "json":
        yield from counted(_json_list(streams.whole(stream, limits, encoding), limits), limits)
        return
    lines = streams.lines(stream, limits, encoding)
    if reading.format == "csv":
        items = tables.read(lines, limits, reading, operation, choice)
        yield from counted(items, limits, none=gettext("The %(what)s has a header but no rows."))
    elif reading.format == "jsonl":
        numbered = enumerate(map(_said, lines), 1)
        yield from counted((json_values.parse(line, number) for number, line in numbered if line), limits)
    else:
        yield from counted((line for line in map(_said, lines) if line), limits)


def _said(line: str) -> str:
    return line.removeprefix(streams.BYTE_ORDER_MARK).strip()


def _json_list(text: str, limits: Limits) -> Iterable[Any]:
    if not text.strip():
        raise InputError(gettext("The %(what)s is empty.") % {"what": limits.what})
    values = json_values.parse(text)
    if not isinstance(values, list):
        raise InputError(gettext("The JSON must be a list of items: [ … ]."))
    return values
