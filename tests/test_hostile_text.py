"""Text that nobody made for us: each input gives exactly these items, or exactly these words.

The worst of it goes the whole way through the faces, in `test_hostile_inputs.py`.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from typing import Any

import pytest

from bulkops import inputs
from bulkops.exceptions import InvalidItems
from tests.inputs.operations import Plain, Seating

CYRILLIC = "Билет;Ряд\r\nИван Петров;Седьмой\r\nОльга Сидорова;Восьмой\r\n"
SAVE = "Save the file as UTF-8 (in Excel: “CSV UTF-8”)."
SPREADSHEET = "Save it as CSV in the spreadsheet."
TOO_LARGE = "is larger than an item may be (64 KB)."
MANY = [f"c{number}" for number in range(10_000)]
TABLE = "ticket;seat row\r\nZoë;1\r\n"
ROW = {"ticket": "Zoë", "seat_row": "1"}
NINES = "9" * 40


def workbook() -> bytes:
    """What a spreadsheet saves, in short."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


# What it is; its bytes; the file's name; the operation; the items or the words.
HOSTILE: list[tuple[str, bytes, str, type[Plain], list[Any] | str]] = [
    ("UTF-16 BE with a mark", b"\xfe\xff" + TABLE.encode("utf-16-be"), "a.csv", Seating, [ROW]),
    ("UTF-16 LE without a mark", TABLE.encode("utf-16-le"), "a.csv", Seating, [ROW]),
    ("UTF-32", TABLE.encode("utf-32"), "a.csv", Seating, [ROW]),
    ("Windows-1252 with its own quotes", "note\n“5 €”\n".encode("cp1252"), "a.csv", Plain, ["“5 €”"]),
    ("Windows-1251", CYRILLIC.encode("cp1251"), "a.csv", Plain,
     [{"Билет": "Иван Петров", "Ряд": "Седьмой"}, {"Билет": "Ольга Сидорова", "Ряд": "Восьмой"}]),
    ("an empty file", b"", "a.csv", Plain, "The file is empty."),
    ("nothing but a mark", b"\xef\xbb\xbf", "a.jsonl", Plain, "The file is empty."),
    ("nothing but a mark of UTF-16", b"\xff\xfe", "a.csv", Plain, "The file is empty."),
    ("a mark in the middle, where files were put together", "a,b\n1,2\n".encode("utf-8-sig") * 2, "a.csv", Plain,
     [{"a": "1", "b": "2"}, {"a": "a", "b": "b"}, {"a": "1", "b": "2"}]),
    ("the same as JSON Lines", '{"a": 1}\n'.encode("utf-8-sig") * 2, "a.jsonl", Plain, [{"a": 1}, {"a": 1}]),
    ("a spreadsheet renamed", workbook(), "a.csv", Plain,
     f"The file is a ZIP file, as .xlsx and .ods are, not text. {SPREADSHEET}"),
    ("an old spreadsheet renamed", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "a.csv", Plain,
     f"The file is an old Office file, as .xls is, not text. {SPREADSHEET}"),
    ("a compressed file", gzip.compress(b"a,b\n1,2\n"), "a.csv", Plain,
     "The file is compressed with gzip, not text. Unpack it first."),
    ("XML renamed", b'\xef\xbb\xbf<?xml version="1.0"?>\n<Workbook/>', "a.csv", Plain,
     "Line 1: this is XML, not CSV. Open it in a spreadsheet and save it as CSV."),
    ("a picture", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00", "a.csv", Plain,
     "Line 3: the line holds a NUL character, as UTF-16 and spreadsheet files do."),
    ("quotes behind a space", b'a, b\n1, "x, y"\n2, z\n', "a.csv", Plain,
     [{"a": "1", "b": "x, y"}, {"a": "2", "b": "z"}]),
    ("ragged rows", b"a;b;c\n1;2;3\n4;5\n", "a.csv", Plain,
     "Line 3: the row has 2 values, but the header has 3 columns."),
    ("10,000 columns", f"{','.join(MANY)}\n{','.join('x' * 10_000)}\n".encode(), "a.csv", Plain,
     [dict.fromkeys(MANY, "x")]),
    ("10,000 columns and none that is wanted", f"{','.join(MANY)}\n".encode(), "a.csv", Seating,
     f"Line 1: the header lacks 2 columns: ticket, seat_row (found: {', '.join(MANY[:20])}, …)."),
    ("a heading twice", b"a,b,a\n1,2,3\n", "a.csv", Plain, "Line 1: the header names a more than once."),
    ("two headings for one field", b"Ticket,TICKET,seat row\n1,2,3\n", "a.csv", Seating,
     "Line 1: “Ticket” and “TICKET” could both be ticket; rename one, or say which it is."),
    ("a header of spaces alone", b"  ,   \n1,2\n", "a.csv", Plain, "The file has a header but no rows."),
    ("a heading of spaces", b"a,  ,c\n1,2,3\n", "a.csv", Plain,
     "Line 1: the header has no name for column 2 (found: a, , c)."),
    ("emoji made of several characters", "name,mood\nAnn 👩🏽‍🚀,🏳️‍🌈\n".encode(), "a.csv", Plain,
     [{"name": "Ann 👩🏽‍🚀", "mood": "🏳️‍🌈"}]),
    ("marks that turn the direction", "ticket\u200f,\u202bseat row\u202c\n\u202eא,ב\n".encode(), "a.csv", Seating,
     [{"ticket": "\u202eא", "seat_row": "ב"}]),
    ("spaces that do not break", "ticket\u00a0number;seat\u00a0row\n1\u00a0000;2\n".encode("cp1252"), "a.csv", Seating,
     [{"ticket": "1\u00a0000", "seat_row": "2"}]),
    ("Excel's own first line", b"sep=;\r\na,b;c\r\n1,5;2\r\n", "a.csv", Plain, [{"a,b": "1,5", "c": "2"}]),
    ("Excel's first line alone", b"sep=;\r\n", "a.csv", Plain, "The file is empty."),
    ("decimal commas", b"a;b\n1,5;2,5\n", "a.csv", Plain, [{"a": "1,5", "b": "2,5"}]),
    ("separators of lines that end none", "a,b\nx\u2028y,z\x0b\x85\n".encode(), "a.csv", Plain,
     [{"a": "x\u2028y", "b": "z\x0b\x85"}]),
    ("a number of 100,000 digits in a line", b"1\n" + b"9" * 100_000, "a.jsonl", Plain,
     f"Line 2: this is not JSON that can be stored: {NINES}… has too many digits (100,000)."),
    ("a number without end", b"[1e999]", "a.json", Plain,
     "this is not JSON that can be stored: 1e999 is too large a number."),
    ("not a number", b"1\nNaN\n", "a.jsonl", Plain,
     "Line 2: this is not JSON that can be stored: NaN is no JSON number."),
    ("a key twice", b'{"a": 1}\n{"a": 1, "b": {"a": 2}}\n{"a": 1, "a": 2}\n', "a.jsonl", Plain,
     "Line 3: this is not JSON that can be stored: the key “a” stands twice in it."),
    ("quotes of another language", b"[{'a': 1}]", "a.json", Plain,
     "Line 1: this is not JSON: Expecting property name enclosed in double quotes at column 3."),
    ("half a character in JSON", b'"\\ud800"', "a.jsonl", Plain,
     "Line 1: a text holds half a character (a lone surrogate), which cannot be stored."),
    ("JSON in an old encoding", '["Zoë"]'.encode("cp1252"), "a.json", Plain, f"Line 1: this is not UTF-8 text. {SAVE}"),
    ("JSON as PowerShell writes it", b"\xff\xfe" + '["Zoë"]\r\n'.encode("utf-16-le"), "a.json", Plain, ["Zoë"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "name", "operation", "expected"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE]
)
def test_hostile_text_gives_exactly_these_items_or_words(
    content: bytes, name: str, operation: type[Plain], expected: list[Any] | str
) -> None:
    answer: list[Any] | str
    try:
        answer = list(inputs.read_file(io.BytesIO(content), name, operation()))
    except InvalidItems as refusal:
        answer = refusal.message
    assert answer == expected
