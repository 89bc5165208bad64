"""CSV and its kin: the delimiter, the rows with the line each starts at, and the items they are.

The delimiter is told from the first rows, quotes respected, or by Excel's first line `sep=;`, which is no row.
"""

from __future__ import annotations

import contextlib
import csv
import itertools
import re
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext

from bulkops.conf import conf
from bulkops.exceptions import InputError, InputTooLarge
from bulkops.inputs import columns as columns_of
from bulkops.inputs.limits import columns, size, values
from bulkops.inputs.reading import DELIMITERS
from bulkops.inputs.streams import BYTE_ORDER_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.inputs.limits import Limits
    from bulkops.inputs.reading import Choice, Reading
    from bulkops.operation import Operation

_SAMPLE_LINES = 50
_SAMPLE_CHARS = 64 * 1024
_SEPARATOR = re.compile(r'"?sep=([^\w\s"]|\t)"?', re.IGNORECASE)
_MARKUP = re.compile(r"\s*<(!doctype html|html|head|body|table|\?xml)\b", re.IGNORECASE)


def read(
    lines: Iterator[str], limits: Limits, reading: Reading, operation: Operation | None, choice: Choice
) -> Iterator[Any]:
    """The rows under a header row: dicts of strings, or strings where there is one column and no `Item` form.

    Columns that the operation does not know are kept; rows without any value are no items. Fills in the reading.
    Raises InputError and InputTooLarge.
    """
    with_form = operation is not None and operation.Item is not None
    rows = _rows(lines, reading, operation, choice)
    start, first = next(rows, (0, []))
    if not first:
        raise InputError(gettext("The %(what)s is empty.") % {"what": limits.what})
    reading.header = columns_of.header(first, start)
    found = columns_of.assign(reading.header, start, operation, choice)
    reading.columns, reading.unused = found.taken, found.unused
    single = len(found.keys) == 1 and not with_form
    for start, row in rows:
        if len(row) != len(found.keys):
            raise InputError(
                gettext("the row has %(values)s, but the header has %(columns)s.")
                % {"values": values(len(row)), "columns": columns(len(found.keys))},
                start,
            )
        yield row[0] if single else dict(zip(found.keys, row, strict=True))


def _rows(
    lines: Iterator[str], reading: Reading, operation: Operation | None, choice: Choice
) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold any value, header first, each with the line it starts at."""
    # The limit is the process's, so it is only ever raised; a row of fields below it is measured as a whole.
    if csv.field_size_limit() < conf().item_bytes:
        csv.field_size_limit(conf().item_bytes)
    before = 0
    sample = _sample(lines)
    if sample and (said := _SEPARATOR.fullmatch(sample[0].rstrip("\r\n"))):
        before, sample, reading.delimiter = 1, sample[1:], said[1]
    else:
        reading.delimiter = _delimiter(sample, operation, choice)
    _refuse_markup(sample)
    spaced = _is_spaced(sample, reading.delimiter)
    reader = csv.reader(
        itertools.chain(sample, lines), delimiter=reading.delimiter, skipinitialspace=spaced, strict=True
    )
    while True:
        start = before + reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(_words(str(error)), start) from None
        if row and row[0].startswith(BYTE_ORDER_MARK):
            row[0] = row[0].removeprefix(BYTE_ORDER_MARK)
        content = "".join(row)
        if len(content) > conf().item_bytes:
            raise InputTooLarge(
                gettext("Line %(number)s: the row is larger than an item may be (%(size)s).")
                % {"number": start, "size": size(conf().item_bytes)}
            )
        if content.strip():
            yield start, row


def _sample(lines: Iterator[str]) -> list[str]:
    taken: list[str] = []
    chars = 0
    for line in lines:
        taken.append(line)
        # Blank lines tell nothing, but for how far the first row is.
        chars += len(line)
        if len(taken) >= _SAMPLE_LINES or chars >= _SAMPLE_CHARS:
            break
    return taken


def _refuse_markup(sample: list[str]) -> None:
    start, line = next(((number, line) for number, line in enumerate(sample, 1) if line.strip()), (0, ""))
    if found := _MARKUP.match(line):
        kind = "XML" if found[1] == "?xml" else "HTML"
        raise InputError(
            gettext("this is %(kind)s, not CSV. Open it in a spreadsheet and save it as CSV.") % {"kind": kind}, start
        )


def _delimiter(sample: list[str], operation: Operation | None, choice: Choice) -> str:
    """The one under which the header has most of the wanted columns, then most columns that the rows have too.

    Comma where all leave the header in one piece.
    """

    def merit(delimiter: str) -> tuple[int, float]:
        rows = [row for row in _parsed(sample, delimiter) if "".join(row).strip()]
        if not rows or len(rows[0]) < 2:
            return 0, 0.0
        same = sum(len(row) == len(rows[0]) for row in rows) / len(rows)
        return columns_of.matches(rows[0], operation, choice), same * (len(rows[0]) - 1)

    return max(DELIMITERS, key=merit)


def _is_spaced(sample: list[str], delimiter: str) -> bool:
    """Whether quotes stand behind a space, as in `1, "a, b"`: so if rows fit the header only without it."""

    def fits(*, spaced: bool) -> bool:
        rows = [row for row in _parsed(sample, delimiter, spaced=spaced) if "".join(row).strip()]
        return len({len(row) for row in rows}) == 1

    quoted = f'{delimiter} "'
    return any(quoted in line for line in sample) and not fits(spaced=False) and fits(spaced=True)


def _parsed(sample: list[str], delimiter: str, *, spaced: bool = False) -> list[list[str]]:
    """The sample's rows up to one that cannot be read, which may also be the last, cut one."""
    rows: list[list[str]] = []
    with contextlib.suppress(csv.Error):
        rows.extend(csv.reader(sample, delimiter=delimiter, skipinitialspace=spaced, strict=True))
    return rows


def _words(error: str) -> str:
    """What Python's csv module found, in words for somebody who has the file before them."""
    if "end of data" in error:
        return gettext("a quote opens in this row and is never closed.")
    if "field limit" in error:
        words = gettext("a value is longer than %(n)s characters; is a quote never closed?")
        return words % {"n": f"{csv.field_size_limit():,}"}
    if "expected after" in error:
        return gettext("a quote ends before its value does; write a quote inside a quoted value twice.")
    return gettext("this row cannot be read as CSV (%(error)s).") % {"error": error}
