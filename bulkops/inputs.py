"""Reads items out of what people give: CSV, JSON Lines, JSON and plain text, from files, standard input and text boxes.

Owns encodings, delimiters, headers, line numbers and the limits on size. What an item's fields may hold is left to the
operation, and what can be stored at all to `manifests`. All but JSON is read as a stream: a line, or a quoted
row, is what is in memory. A line number in an error is where the row starts.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, NoReturn

from bulkops.conf import conf
from bulkops.exceptions import InputError, InputTooLarge
from bulkops.storable import has_nul

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bulkops.operation import Operation

SUFFIXES = (".csv", ".jsonl", ".json", ".txt")

_READ_BYTES = 64 * 1024
# JSON may spell a two-byte character with six bytes, and CSV doubles its quotes.
_LINE_BYTES_PER_ITEM_BYTE = 6
_MB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """How much of one kind of input is taken."""

    what: str
    """What messages call the input."""
    size_bytes: int
    items: int


def file_limits() -> Limits:
    """The limits of an uploaded file or of standard input."""
    return Limits("file", conf().file_bytes, conf().file_items)


def body_limits() -> Limits:
    """The limits of typed or pasted text."""
    return Limits("text", conf().body_bytes, conf().body_items)


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


def read_file(file: IO[bytes], name: str, operation: Operation | None = None) -> Iterator[Any]:
    """The items of a binary stream, read as its name's suffix says.

    Raises InputError at once for another suffix or one that cannot carry the operation's items; while iterating,
    InputError for what cannot be read and InputTooLarge.
    """
    suffix = PurePath(name).suffix.lower()
    match suffix:
        case ".csv":
            return read_csv(file, operation)
        case ".jsonl":
            return read_jsonl(file)
        case ".json":
            return read_json(file)
        case ".txt" if operation is not None and operation.Item is not None:
            raise InputError(
                f"This operation's items have fields ({', '.join(operation.Item().fields)}), which a .txt file cannot"
                " name: use a .csv, .jsonl or .json file."
            )
        case ".txt":
            return read_text(file)
    ending = f"not {suffix}" if suffix else "and this one has no ending"
    raise InputError(f"A file's name must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}, {ending}.")


def read_pasted(text: str, operation: Operation | None = None) -> Iterator[Any]:
    """The items of typed or pasted text: CSV with a header where the operation has an `Item` form, else a line an item.

    Raises InputError and InputTooLarge while iterating.
    """
    # A lone surrogate has no UTF-8 form; passed on, it is refused below with its line.
    stream = io.BytesIO(text.encode("utf-8", "surrogatepass"))
    if operation is not None and operation.Item is not None:
        return read_csv(stream, operation, body_limits())
    return read_text(stream, body_limits())


def read_text(stream: IO[bytes], limits: Limits | None = None) -> Iterator[str]:
    """One item a line, without the white space around it; blank lines are no items.

    Raises InputError and InputTooLarge.
    """
    limits = limits or file_limits()
    lines = (line.strip() for line in _lines(stream, limits))
    yield from _counted((line for line in lines if line), limits)


def read_csv(stream: IO[bytes], operation: Operation | None = None, limits: Limits | None = None) -> Iterator[Any]:
    """The rows under a header row: dicts of strings, or strings where there is one column and no `Item` form.

    Separated by commas, or by semicolons or tabs where the header has no comma but those. Columns that the operation
    does not know are kept; rows without any value are no items. Raises InputError and InputTooLarge.
    """
    limits = limits or file_limits()
    with_form = operation is not None and operation.Item is not None
    rows = _csv_rows(stream, limits)
    start, header = next(rows, (0, []))
    if not header:
        raise InputError(f"The {limits.what} is empty.")
    columns = _columns(header, start, operation)
    single = len(columns) == 1 and not with_form

    def items() -> Iterator[Any]:
        for start, row in rows:
            if len(row) != len(columns):
                raise InputError(
                    f"the row has {_count(len(row), 'value')}, but the header has {_count(len(columns), 'column')}.",
                    start,
                )
            yield row[0] if single else dict(zip(columns, row, strict=True))

    yield from _counted(items(), limits, none="has a header but no rows")


def read_jsonl(stream: IO[bytes], limits: Limits | None = None) -> Iterator[Any]:
    """One JSON value a line; blank lines are no items. Raises InputError and InputTooLarge."""
    limits = limits or file_limits()
    lines = enumerate(_lines(stream, limits), 1)
    yield from _counted((_json(line, number) for number, line in lines if line.strip()), limits)


def read_json(stream: IO[bytes], limits: Limits | None = None) -> Iterator[Any]:
    """The values of one JSON list, which is read as a whole. Raises InputError and InputTooLarge."""
    limits = limits or file_limits()
    raw = b"".join(_pieces(stream, limits))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_utf8(limits, raw.count(b"\n", 0, error.start) + 1) from None
    if not text.strip():
        raise InputError(f"The {limits.what} is empty.")
    values = _json(text)
    if not isinstance(values, list):
        raise InputError("The JSON must be a list of items: [ … ].")
    yield from _counted(values, limits)


def _counted(items: Iterable[Any], limits: Limits, none: str = "is empty") -> Iterator[Any]:
    """The items, unless there are none or too many."""
    number = 0
    for number, item in enumerate(items, 1):
        if number > limits.items:
            raise InputTooLarge(f"The {limits.what} has more than {limits.items:,} items.")
        yield item
    if not number:
        raise InputError(f"The {limits.what} {none}.")


# -- bytes to lines


def _pieces(stream: IO[bytes], limits: Limits) -> Iterator[bytes]:
    size = 0
    while piece := stream.read(_READ_BYTES):
        size += len(piece)
        if size > limits.size_bytes:
            raise InputTooLarge(f"The {limits.what} is larger than {_size(limits.size_bytes)}.")
        yield piece


def _raw_lines(stream: IO[bytes], limits: Limits, longest: int) -> Iterator[bytes]:
    """Lines ended by LF, CR LF or CR, as `bytes.splitlines` has them; one longer than `longest` comes in pieces."""
    rest = b""
    for piece in _pieces(stream, limits):
        *whole, rest = (rest + piece).splitlines(keepends=True)
        # A line that ends in CR waits: its LF may come with the next piece.
        if rest.endswith(b"\n") or len(rest) > longest:
            whole.append(rest)
            rest = b""
        yield from whole
    yield from rest.splitlines(keepends=True)


def _lines(stream: IO[bytes], limits: Limits) -> Iterator[str]:
    """Physical lines with their ends, decoded; the number of each is its place in this iterator, from 1."""
    # Bounds what a file without any line end can make us hold.
    longest = conf().item_bytes * _LINE_BYTES_PER_ITEM_BYTE
    for number, raw in enumerate(_raw_lines(stream, limits, longest), 1):
        if len(raw) > longest:
            raise InputTooLarge(f"Line {number} is larger than an item may be ({_size(conf().item_bytes)}).")
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise _not_utf8(limits, number) from None
        if "\x00" in line:
            raise InputError("the line holds a NUL character, as UTF-16 and spreadsheet files do.", number)
        yield line


def _not_utf8(limits: Limits, line: int) -> InputError:
    return InputError(f"this is not UTF-8 text. Save the {limits.what} as UTF-8 (in Excel: “CSV UTF-8”).", line)


def _size(size_bytes: int) -> str:
    for unit, name in ((_MB, "MB"), (1024, "KB")):
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit:,} {name}"
    return f"{size_bytes:,} bytes"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# -- CSV


def _csv_rows(stream: IO[bytes], limits: Limits) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold any value, header first, each with the line it starts at."""
    # The limit is the process's, so it is only ever raised; a row of fields below it is measured as a whole.
    if csv.field_size_limit() < conf().item_bytes:
        csv.field_size_limit(conf().item_bytes)
    lines = _lines(stream, limits)
    before = 0
    first = ""
    for first in lines:
        if first.strip():
            break
        before += 1
    reader = csv.reader(_chain(first, lines), delimiter=_delimiter(first), strict=True)
    while True:
        start = before + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(_csv_words(str(error)), start) from None
        content = "".join(row)
        if len(content) > conf().item_bytes:
            raise InputTooLarge(f"Line {start}: the row is larger than an item may be ({_size(conf().item_bytes)}).")
        if content.strip():
            yield start, row


def _chain(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _delimiter(header: str) -> str:
    """Comma, unless it leaves the header in one piece where a semicolon or a tab does not."""
    try:
        pieces = {delimiter: len(next(csv.reader([header], delimiter=delimiter))) for delimiter in ",;\t"}
    except (csv.Error, StopIteration):
        # What is wrong with this line is told when it is read for good.
        return ","
    if pieces[","] > 1:
        return ","
    best = max(";\t", key=lambda delimiter: pieces[delimiter])
    return best if pieces[best] > 1 else ","


def _csv_words(error: str) -> str:
    """What Python's csv module found, in words for somebody who has the file before them."""
    if "end of data" in error:
        return "a quote opens in this row and is never closed."
    if "field limit" in error:
        return f"a value is longer than {csv.field_size_limit():,} characters; is a quote never closed?"
    if "expected after" in error:
        return "a quote ends before its value does; write a quote inside a quoted value twice."
    return f"this row cannot be read as CSV ({error})."


def _columns(header: list[str], line: int, operation: Operation | None) -> list[str]:
    """The column names. Raises InputError for empty, doubled or missing ones."""
    columns = [name.strip() for name in header]
    found = f"found: {', '.join(columns[:20])}" + (", …" if len(columns) > 20 else "")
    empty = [number for number, name in enumerate(columns, 1) if not name]
    if empty:
        raise InputError(f"the header has no name for column {empty[0]} ({found}).", line)
    doubled = [name for name, times in Counter(columns).items() if times > 1]
    if doubled:
        raise InputError(f"the header names {', '.join(doubled[:20])} more than once.", line)
    wanted = operation.item_fields() if operation is not None else []
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise InputError(f"the header lacks {_count(len(missing), 'column')}: {', '.join(missing)} ({found}).", line)
    return columns


# -- JSON


def _json(text: str, line: int | None = None) -> Any:
    """The value of a JSON text, strictly. `line` is where it stands; without one, errors count lines themselves."""
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:
            _refuse_unstorable_escapes(value, text, line)
    except json.JSONDecodeError as error:
        raise InputError(f"this is not JSON: {error.msg} at column {error.colno}.", line or error.lineno) from None
    except RecursionError:
        raise InputError("this JSON is nested too deeply.", line) from None
    except ValueError as error:
        raise InputError(f"this is not JSON that can be stored: {error}.", line) from None
    return value


def _refuse_unstorable_escapes(value: Any, text: str, line: int | None) -> None:
    if has_nul(text):
        raise InputError("a text holds a NUL character (\\u0000), which cannot be stored.", line)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError("a text holds half a character (a lone surrogate), which cannot be stored.", line) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python's own words name the call that would raise its limit
        raise ValueError(f"{digits[:40]}… has too many digits ({len(digits):,})") from None


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole)
