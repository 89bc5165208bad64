"""Items are read from files and pasted text as they were meant, or refused with the line and the reason."""

from __future__ import annotations

import csv
import io
import itertools
import json
import tracemalloc
from typing import Any

import pytest
from django import forms
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from bulkops import inputs
from bulkops.exceptions import InputError, InputTooLarge, InvalidItems
from bulkops.operation import Operation


class Plain(Operation):
    name = "plain"

    def process(self, item: Any, params: Any, context: Any) -> None: ...


class WithFields(Plain):
    class Item(forms.Form):
        code = forms.CharField()
        seat = forms.CharField()
        note = forms.CharField(required=False)


class OneField(Plain):
    class Item(forms.Form):
        code = forms.CharField()


def read(content: bytes, name: str, operation: Operation | None = None) -> list[Any]:
    return list(inputs.read_file(io.BytesIO(content), name, operation))


class Dripping(io.RawIOBase):
    """A binary stream that hands out a few bytes at a time, as a pipe or a slow client may."""

    def __init__(self, content: bytes, piece: int) -> None:
        self.content, self.piece, self.place = content, piece, 0

    def read(self, size: int = -1) -> bytes:
        end = self.place + self.piece
        piece, self.place = self.content[self.place : end], end
        return piece


class Endless(io.RawIOBase):
    """A binary stream of made-up rows, none of which exists before it is read."""

    def __init__(self, head: bytes, row: bytes, rows: int) -> None:
        self.pieces = itertools.chain([head] if head else [], itertools.repeat(row * 1_000, rows // 1_000))

    def read(self, size: int = -1) -> bytes:
        return next(self.pieces, b"")


ACCEPTED = [
    ("one column without a form gives strings", b"id\n1\n2\n", "a.csv", Plain, ["1", "2"]),
    ("one column with a form gives dicts", b"code\nx\n", "a.csv", OneField, [{"code": "x"}]),
    ("several columns give dicts of strings", b"a,b\n1,2\n", "a.csv", Plain, [{"a": "1", "b": "2"}]),
    (
        "columns the form does not know are kept",
        b"seat,code,extra\n7,x,y\n",
        "a.csv",
        WithFields,
        [{"seat": "7", "code": "x", "extra": "y"}],
    ),
    ("the suffix may be in capitals", b"id\n1\n", "A.CSV", Plain, ["1"]),
    (
        "a byte order mark is no part of the first name",
        b"\xef\xbb\xbfid,b\n1,2\n",
        "a.csv",
        Plain,
        [{"id": "1", "b": "2"}],
    ),
    ("lines end in CR LF", b"id\r\n1\r\n2\r\n", "a.csv", Plain, ["1", "2"]),
    ("lines end in CR", b"a,b\r1,2\r3,4\r", "a.csv", Plain, [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
    ("the last line needs no end", b"id\n1", "a.csv", Plain, ["1"]),
    ("blank lines before, between and after", b"\n\nid\n\n1\n\n\n2\n\n", "a.csv", Plain, ["1", "2"]),
    ("rows without any value", b"a,b\n,\n1,2\n , \n", "a.csv", Plain, [{"a": "1", "b": "2"}]),
    ("a quoted comma", b'a,b\n"1,5",2\n', "a.csv", Plain, [{"a": "1,5", "b": "2"}]),
    ("a quoted line end", b'a,b\n"1\n5",2\n', "a.csv", Plain, [{"a": "1\n5", "b": "2"}]),
    ("a doubled quote", b'a,b\n"say ""hi""",2\n', "a.csv", Plain, [{"a": 'say "hi"', "b": "2"}]),
    ("a quoted header with a comma in it", b'"a, or b"\n1\n', "a.csv", Plain, ["1"]),
    ("semicolons", b"a;b\n1,5;2\n", "a.csv", Plain, [{"a": "1,5", "b": "2"}]),
    ("tabs", b"a\tb\n1;5\t2\n", "a.csv", Plain, [{"a": "1;5", "b": "2"}]),
    ("a comma in the header wins over a semicolon", b"a;x,b\n1,2\n", "a.csv", Plain, [{"a;x": "1", "b": "2"}]),
    ("space around names", b" a , b\n1, 2\n", "a.csv", Plain, [{"a": "1", "b": " 2"}]),
    ("an empty value beside others", b"a,b\n1,\n", "a.csv", Plain, [{"a": "1", "b": ""}]),
    ("letters beyond ASCII", "name\nZoë\n漢字\n".encode(), "a.csv", Plain, ["Zoë", "漢字"]),
    ("other line separators are part of a value", "name\na\u2028b\x0bc\n".encode(), "a.csv", Plain, ["a\u2028b\x0bc"]),
    ("vertical bars", b"a|b\n1,5|2\n", "a.csv", Plain, [{"a": "1,5", "b": "2"}]),
    (
        "most columns win over a comma in a name",
        b"a;b;c, d\n1;2;3\n4;5;6\n",
        "a.csv",
        Plain,
        [{"a": "1", "b": "2", "c, d": "3"}, {"a": "4", "b": "5", "c, d": "6"}],
    ),
    (
        "the wanted columns win",
        b"code;seat;a,b,c,d\nx;7;1,2,3,4\n",
        "a.csv",
        WithFields,
        [{"code": "x", "seat": "7", "a,b,c,d": "1,2,3,4"}],
    ),
    ("a quoted delimiter tells nothing", b'"a;b;c",d\n"1;2;3",4\n', "a.csv", Plain, [{"a;b;c": "1;2;3", "d": "4"}]),
    ("what Excel says of the delimiter", b"sep=;\r\na,b;c\r\n1;2\r\n", "a.csv", Plain, [{"a,b": "1", "c": "2"}]),
    ("a delimiter of one's own", b"sep=^\na^b\n1^2\n", "a.csv", Plain, [{"a": "1", "b": "2"}]),
    ("a name in other case", b"Code\n1\n", "a.csv", OneField, [{"code": "1"}]),
    ("Latin-1", "a\nx\nZo\xeb\n".encode("latin-1"), "a.csv", Plain, ["x", "Zoë"]),
    ("Latin-1 as text", b"x\n\xeb\n", "a.txt", Plain, ["x", "ë"]),
    ("UTF-16", "a\n1\n".encode("utf-16"), "a.csv", Plain, ["1"]),
    ("UTF-16 as JSON Lines", '"ë"\r\n2'.encode("utf-16"), "a.jsonl", Plain, ["ë", 2]),
    ("UTF-16 as JSON", '["ë"]'.encode("utf-16"), "a.json", Plain, ["ë"]),
    ("UTF-16 without a mark", "a\n1\n".encode("utf-16-le"), "a.csv", Plain, ["1"]),
    ("other endings for the same", b"a\tb\n1\t2\n", "a.tsv", Plain, [{"a": "1", "b": "2"}]),
    ("text is a line an item, without its spaces", b" 1 \n\n2\r\n\t\n3", "a.txt", Plain, ["1", "2", "3"]),
    ("text with a byte order mark", b"\xef\xbb\xbf1\n2", "a.txt", Plain, ["1", "2"]),
    ("text knows no quotes", b'"1,2\n', "a.txt", Plain, ['"1,2']),
    ("JSON Lines of any value", b'{"a": 1}\n\n"x"\r\n[1.5, null]\n', "a.jsonl", Plain, [{"a": 1}, "x", [1.5, None]]),
    ("JSON Lines with a byte order mark", b"\xef\xbb\xbf1\n", "a.jsonl", Plain, [1]),
    ("a JSON list", b' [{"a": 1},\n "x", true] ', "a.json", Plain, [{"a": 1}, "x", True]),
    ("a JSON list with a byte order mark", b"\xef\xbb\xbf[1]", "a.json", Plain, [1]),
    ("an escaped backslash before u0000", rb'["\\u0000"]', "a.json", Plain, ["\\u0000"]),
    ("an escaped pair of surrogates", rb'["\ud83d\ude00"]', "a.json", Plain, ["😀"]),
]


@pytest.mark.parametrize(
    ("content", "name", "operation", "items"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED]
)
@pytest.mark.parametrize("piece", [1, 3, 64 * 1024])
def test_is_read(content: bytes, name: str, operation: type[Operation], items: list[Any], piece: int) -> None:
    assert list(inputs.read_file(Dripping(content, piece), name, operation())) == items


REFUSED = [
    ("another suffix", b"x", "a.xlsx", Plain, None, "must end in .csv, .jsonl, .json or .txt, not .xlsx"),
    ("no suffix", b"x", "tickets", Plain, None, "this one has no ending"),
    ("a dotfile", b"x", ".csv", Plain, None, "this one has no ending"),
    ("text where items have fields", b"x", "a.txt", WithFields, None, "items have fields (code, seat, note)"),
    ("nothing as CSV", b"", "a.csv", Plain, None, "The file is empty"),
    ("nothing as text", b"", "a.txt", Plain, None, "The file is empty"),
    ("nothing as JSON Lines", b"", "a.jsonl", Plain, None, "The file is empty"),
    ("nothing as JSON", b"", "a.json", Plain, None, "The file is empty"),
    ("only a byte order mark", b"\xef\xbb\xbf", "a.csv", Plain, None, "The file is empty"),
    ("only blank lines", b"\n \r\n\n", "a.csv", Plain, None, "The file is empty"),
    ("only blank lines as text", b"\n \r\n\n", "a.txt", Plain, None, "The file is empty"),
    ("an empty JSON list", b"[]", "a.json", Plain, None, "The file is empty"),
    ("only a header", b"a,b\n", "a.csv", Plain, None, "has a header but no rows"),
    ("a header and blank rows", b"a,b\n\n,\n", "a.csv", Plain, None, "has a header but no rows"),
    (
        "UTF-8 with a broken byte",
        "a\nZoë\nx\xa0\n".encode() + b"y\xeb\n",
        "a.csv",
        Plain,
        4,
        "not UTF-8 text. Save the file as",
    ),
    ("UTF-8 with a broken byte as text", b"Zo\xc3\xab\n\xeb\n", "a.txt", Plain, 2, "not UTF-8"),
    ("Latin-1 as JSON Lines", b'1\n\n"\xeb"\n', "a.jsonl", Plain, 3, "not UTF-8"),
    ("Latin-1 as JSON", b'[1,\n"\xeb"]', "a.json", Plain, 2, "not UTF-8"),
    (
        "half of UTF-16",
        b"\xff\xfea\x00\n\x00\x00\xd8\n\x00",
        "a.csv",
        Plain,
        2,
        "not UTF-16 text. Save the file as UTF-8",
    ),
    ("an overlong encoding", b"a\n\xc0\xaf\n", "a.csv", Plain, 2, "not UTF-8"),
    ("an encoded surrogate", b"a\n\xed\xa0\x80\n", "a.csv", Plain, 2, "not UTF-8"),
    ("a spreadsheet by another name", b"PK\x03\x04\x14\x00\x08", "a.csv", Plain, None, "is a ZIP file, as .xlsx"),
    ("NUL in a row", b"a\nx\ny\x00\n", "a.csv", Plain, 3, "NUL"),
    ("NUL in text", b"a\x00", "a.txt", Plain, 1, "NUL"),
    ("NUL in JSON Lines", b'"a"\n"\\u0000"', "a.jsonl", Plain, 2, "NUL"),
    ("NUL in JSON", b'["\\u0000"]', "a.json", Plain, None, "NUL"),
    ("NUL as a key", b'[{"\\u0000": 1}]', "a.json", Plain, None, "NUL"),
    ("half a character", b'"\\ud800"', "a.jsonl", Plain, 1, "lone surrogate"),
    ("a missing column", b"code,x\n1,2\n", "a.csv", WithFields, 1, "lacks 1 column: seat (found: code, x)"),
    ("two missing columns", b"\nx\n1\n", "a.csv", WithFields, 2, "lacks 2 columns: code, seat (found: x)"),
    ("a name that is only near", b"Codes\n1\n", "a.csv", OneField, 1, "lacks 1 column: code (found: Codes)"),
    ("a doubled name", b"a,b,a\n1,2,3\n", "a.csv", Plain, 1, "names a more than once"),
    ("names that differ by spaces", b"a, a\n1,2\n", "a.csv", Plain, 1, "names a more than once"),
    ("an empty name", b"a,,c\n1,2,3\n", "a.csv", Plain, 1, "no name for column 2 (found: a, , c)"),
    ("a trailing comma in the header", b"a,\n1,2\n", "a.csv", Plain, 1, "no name for column 2"),
    ("a row too short", b"a,b\n1,2\n3\n", "a.csv", Plain, 3, "the row has 1 value, but the header has 2 columns"),
    ("a row too long", b"a\n1,2\n", "a.csv", Plain, 2, "the row has 2 values, but the header has 1 column"),
    ("ragged after a quoted line end", b'a,b\n"1\n\n",2\n3\n', "a.csv", Plain, 5, "has 1 value"),
    ("ragged over several lines", b'a,b\n1,2\n"3\n\n4"\n5,6\n', "a.csv", Plain, 3, "has 1 value"),
    ("ragged after CR LF and blank lines", b"\r\na,b\r\n\r\n1\r\n", "a.csv", Plain, 4, "has 1 value"),
    (
        "a quote that is never closed",
        b'a,b\n1,2\n3,"4\n5,6\n',
        "a.csv",
        Plain,
        3,
        "opens in this row and is never closed",
    ),
    ("an unclosed quote in the header", b'a,"b\n1,2\n', "a.csv", Plain, 1, "never closed"),
    ("a quote inside a quoted value", b'a\n"x"y\n', "a.csv", Plain, 2, "write a quote inside a quoted value twice"),
    ("a value beyond all bounds", b'a\n"' + b"x\n" * 70_000 + b'"\n', "a.csv", Plain, 2, "is a quote never closed?"),
    ("a bad line of JSON", b'{"a": 1}\n\n{"a": }\n', "a.jsonl", Plain, 3, "not JSON: Expecting value at column 7"),
    ("two values on a line", b"1 2\n", "a.jsonl", Plain, 1, "not JSON: Extra data"),
    ("JSON over several lines as JSON Lines", b'{\n"a": 1}\n', "a.jsonl", Plain, 1, "not JSON"),
    ("a bad JSON", b"[1,\n 2,\n oops]", "a.json", Plain, 3, "not JSON: Expecting value at column 2"),
    ("JSON that is no list", b'{"items": [1]}', "a.json", Plain, None, "must be a list"),
    ("NaN", b"1\nNaN\n", "a.jsonl", Plain, 2, "NaN is no JSON number"),
    ("minus infinity", b"[-Infinity]", "a.json", Plain, None, "-Infinity is no JSON number"),
    ("a number beyond all bounds", b"[1e999]", "a.json", Plain, None, "1e999 is too large a number"),
    ("an integer of 5,000 digits", b"9" * 5_000, "a.jsonl", Plain, 1, "too many digits (5,000)."),
    ("JSON nested without end", b"[" * 200_000, "a.json", Plain, None, "nested too deeply"),
    ("a control character in JSON", b'["a\x01"]', "a.json", Plain, 1, "not JSON: Invalid control character"),
]


@pytest.mark.parametrize(
    ("content", "name", "operation", "line", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
@pytest.mark.parametrize("piece", [7, 64 * 1024])
def test_is_refused(
    content: bytes, name: str, operation: type[Operation], line: int | None, words: str, piece: int
) -> None:
    with pytest.raises(InputError) as refusal:
        list(inputs.read_file(Dripping(content, piece), name, operation()))
    assert words in refusal.value.message
    assert refusal.value.line == line
    assert refusal.value.message.startswith(f"Line {line}: ") == (line is not None)


def test_a_refusal_is_an_error_of_the_items() -> None:
    with pytest.raises(InvalidItems):
        read(b"", "a.csv")


def test_a_wrong_suffix_is_refused_before_anything_is_read() -> None:
    stream = io.BytesIO(b"1\n")
    with pytest.raises(InputError):
        inputs.read_file(stream, "a.pdf", Plain())
    assert stream.tell() == 0


PASTED = [
    ("lines", "1\r\n 2 \r\n\r\n3", Plain, ["1", "2", "3"]),
    ("commas are part of a line without a form", "a,b\n1,2", Plain, ["a,b", "1,2"]),
    ("rows copied from a spreadsheet", "code\tseat\nx\t7\n", WithFields, [{"code": "x", "seat": "7"}]),
    ("one column with a form", "code\nx\n", OneField, [{"code": "x"}]),
]


@pytest.mark.parametrize(
    ("text", "operation", "items"), [case[1:] for case in PASTED], ids=[case[0] for case in PASTED]
)
def test_pasted_text_is_read(text: str, operation: type[Operation], items: list[Any]) -> None:
    assert list(inputs.read_pasted(text, operation())) == items


@pytest.mark.parametrize(
    ("text", "operation", "words"),
    [
        ("", Plain, "The text is empty"),
        ("code,seat", WithFields, "The text has a header but no rows"),
        ("x\n1\n", WithFields, "Line 1: the header lacks"),
        ("1\n\ud800\n", Plain, "Line 2: this is not UTF-8"),
        ("1\x00", Plain, "Line 1: the line holds a NUL"),
    ],
)
def test_pasted_text_is_refused(text: str, operation: type[Operation], words: str) -> None:
    with pytest.raises(InputError) as refusal:
        list(inputs.read_pasted(text, operation()))
    assert words in refusal.value.message


@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl", "a.json"])
def test_a_file_of_too_many_bytes_is_refused_as_too_large(name: str) -> None:
    with override_settings(BULKOPS={"file_bytes": 1024}):
        fits = b"[" + b"1" * 1022 + b"]" if name == "a.json" else b"1234567\n" * 128
        with pytest.raises(InputTooLarge, match="The file is larger than 1 KB"):
            read(fits + b"\n", name)
        if name != "a.json":
            assert len(read(fits, name)) in {127, 128}


@pytest.mark.parametrize(
    ("name", "head", "row", "tail"),
    [("a.csv", b"a,b\n", b"1,2\n", b""), ("a.txt", b"", b"1\n", b""), ("a.jsonl", b"", b"1\n", b"")],
)
def test_a_file_of_too_many_rows_is_refused_as_too_large(name: str, head: bytes, row: bytes, tail: bytes) -> None:
    with override_settings(BULKOPS={"file_items": 10}):
        assert len(read(head + row * 10 + b"\n\n" + tail, name)) == 10
        with pytest.raises(InputTooLarge, match="The file has more than 10 items"):
            read(head + row * 11 + tail, name)
        with pytest.raises(InputTooLarge):
            read(json.dumps(list(range(11))).encode(), "a.json")


def test_pasted_text_has_limits_of_its_own() -> None:
    with override_settings(BULKOPS={"body_items": 2, "body_bytes": 50}):
        assert list(inputs.read_pasted("1\n2\n")) == ["1", "2"]
        with pytest.raises(InputTooLarge, match="The text has more than 2 items"):
            list(inputs.read_pasted("1\n2\n3\n"))
        with pytest.raises(InputTooLarge, match="The text is larger than 50 bytes"):
            list(inputs.read_pasted("é" * 26))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl"])
def test_a_line_without_an_end_is_refused_before_it_is_all_in_memory(name: str) -> None:
    stream = Endless(b"", b"x" * 100, 900_000)
    tracemalloc.start()
    try:
        with pytest.raises(InputTooLarge, match="Line 1 is larger than an item may be"):
            list(inputs.read_file(stream, name))
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_row_of_many_values_is_refused_as_too_large() -> None:
    columns = ",".join(f"c{number}" for number in range(300))
    row = ",".join(["x" * 300] * 300)
    with pytest.raises(InputTooLarge, match="Line 2: the row is larger than an item may be"):
        read(f"{columns}\n{row}\n".encode(), "a.csv")


def test_a_larger_item_limit_raises_the_csv_limit() -> None:
    before = csv.field_size_limit()
    try:
        with override_settings(BULKOPS={"item_bytes": 400_000}):
            assert read(b"a\n" + b"x" * 300_000, "a.csv") == ["x" * 300_000]
    finally:
        csv.field_size_limit(before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "head", "row"),
    [
        ("a.csv", b"code,seat,name\n", b"ABC-1,17,Zo\xc3\xab\n"),
        ("a.txt", b"", b"ABC-1\n"),
        ("a.jsonl", b"", b'{"a":1}\n'),
    ],
)
def test_hundreds_of_thousands_of_rows_are_never_in_memory_together(name: str, head: bytes, row: bytes) -> None:
    stream = Endless(head, row, 300_000)
    items = inputs.read_file(stream, name)
    for _ in itertools.islice(items, 200_000):
        pass
    # Tracing costs tenfold, so only the last third is traced; rows that pile up do so there too.
    tracemalloc.start()
    try:
        assert sum(1 for _ in items) == 100_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_an_uploaded_file_is_read() -> None:
    upload = SimpleUploadedFile("tickets.csv", b"id\n1\n2\n")
    assert list(inputs.read_file(upload, upload.name)) == ["1", "2"]


value = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)


@pytest.mark.slow
@given(st.lists(st.tuples(st.text("xyz", min_size=1), value), min_size=1), st.sampled_from(",;\t"), st.integers(1, 9))
def test_what_the_csv_writer_writes_is_read_back(rows: list[tuple[str, str]], delimiter: str, piece: int) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([("key", "value"), *rows])
    stream = Dripping(out.getvalue().encode(), piece)
    assert [(row["key"], row["value"]) for row in inputs.read_file(stream, "a.csv")] == rows


@given(st.binary(max_size=200), st.sampled_from(inputs.SUFFIXES), st.sampled_from([Plain, OneField]))
def test_whatever_the_bytes_are_there_are_items_or_an_error_in_words(
    content: bytes, suffix: str, operation: type[Operation]
) -> None:
    try:
        items = read(content, f"a{suffix}", operation())
    except InvalidItems as refusal:
        items, words = [], refusal.message
    else:
        words = ""
    assert bool(items) != bool(words)
    json.dumps(items, allow_nan=False, ensure_ascii=False).encode()
