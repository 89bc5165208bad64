"""Pasted text is what it looks like, and lines stay lines."""

from __future__ import annotations

import io
from typing import Any

import pytest

from bulkops import inputs
from bulkops.exceptions import InputError
from tests.inputs.operations import Plain, Seating

ROW = {"ticket": "1", "seat_row": "A"}

PASTED = [
    ("plain lines", "1\n2\n", Plain, "txt", ["1", "2"]),
    ("a list of numbers", "[1, 2]", Plain, "json", [1, 2]),
    ("a list over several lines", '\n[\n {"a": 1},\n {"a": 2}\n]\n', Plain, "json", [{"a": 1}, {"a": 2}]),
    ("objects a line", '{"a": 1}\n\n{"a": 2}\n', Plain, "jsonl", [{"a": 1}, {"a": 2}]),
    ("lists a line", "[1]\n[2]\n", Plain, "jsonl", [[1], [2]]),
    ("one object", '{"a": 1}', Plain, "jsonl", [{"a": 1}]),
    ("braces that are no JSON", "{a}\n{b}\n", Plain, "txt", ["{a}", "{b}"]),
    ("a bracket that is no JSON", "[draft] one\n", Plain, "txt", ["[draft] one"]),
    ("one line that is none", '{"a": 1}\nb\n', Plain, "txt", ['{"a": 1}', "b"]),
    ("lines that are JSON values", '1\ntrue\n"x"\n', Plain, "txt", ["1", "true", '"x"']),
    ("lines with commas", "a,b\n1,2\n", Plain, "txt", ["a,b", "1,2"]),
    ("lines with semicolons", "a;b\n1;2\n", Plain, "txt", ["a;b", "1;2"]),
    ("one column of a spreadsheet", "ticket\n1\n2\n", Plain, "txt", ["ticket", "1", "2"]),
    ("cells of a spreadsheet", "a\tb\r\n1\t2\r\n", Plain, "csv", [{"a": "1", "b": "2"}]),
    ("an empty cell at the end", "a\tb\n1\t\n", Plain, "csv", [{"a": "1", "b": ""}]),
    ("cells without names", "1\t2\n3\t4\n", Plain, "txt", ["1\t2", "3\t4"]),
    ("one line with a tab", "a\tb\n", Plain, "txt", ["a\tb"]),
    ("tabs here and there", "a\tb\nc\n", Plain, "txt", ["a\tb", "c"]),
    ("what Excel says", "sep=;\na;b\n1;2\n", Plain, "csv", [{"a": "1", "b": "2"}]),
    ("fields by commas", "ticket,seat_row\n1,A\n", Seating, "csv", [ROW]),
    ("fields by tabs", "Ticket\tSeat row\n1\tA\n", Seating, "csv", [ROW]),
    ("fields as a JSON list", '[{"ticket": "1", "seat_row": "A"}]', Seating, "json", [ROW]),
    ("fields as JSON Lines", '{"ticket": "1", "seat_row": "A"}\n' * 2, Seating, "jsonl", [ROW, ROW]),
    ("a byte order mark", "\ufeffticket,seat_row\n1,A\n", Seating, "csv", [ROW]),
]


@pytest.mark.parametrize(
    ("text", "operation", "form", "items"), [case[1:] for case in PASTED], ids=[case[0] for case in PASTED]
)
def test_pasted_text_is_what_it_looks_like(text: str, operation: Any, form: str, items: list[Any]) -> None:
    answer = inputs.read_pasted(text, operation())
    assert list(answer) == items
    assert answer.reading.format == form


@pytest.mark.parametrize(
    ("form", "text", "operation", "items"),
    [
        ("txt", "[1]\n[2]", Plain, ["[1]", "[2]"]),
        ("txt", "a\tb\n1\t2", Plain, ["a\tb", "1\t2"]),
        ("csv", "a,b\n1,2", Plain, [{"a": "1", "b": "2"}]),
        ("csv", "ticket\n1", Plain, ["1"]),
        ("jsonl", "[1, 2]", Plain, [[1, 2]]),
        ("json", "[1, 2]", Plain, [1, 2]),
        ("jsonl", "1\ntrue", Plain, [1, True]),
    ],
)
def test_what_the_person_says_wins(form: str, text: str, operation: Any, items: list[Any]) -> None:
    answer = inputs.read_pasted(text, operation(), inputs.Choice(format=form))
    assert list(answer) == items
    assert not answer.reading.told_apart


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"ticket": 1}, oops]', "Line 1: this is not JSON"),
        ('{"ticket": 1}\n{"ticket": }\n', "Line 2: this is not JSON: Expecting value at column 12."),
        ('{\n"ticket": 1\n}', "The JSON must be a list of items: [ … ]."),
    ],
)
def test_where_items_have_fields_broken_json_is_told_as_such(text: str, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        list(inputs.read_pasted(text, Seating()))
    assert refusal.value.message.startswith(words)


def test_lines_cannot_be_chosen_where_items_have_fields() -> None:
    with pytest.raises(InputError, match="which plain lines cannot name: give CSV or JSON"):
        inputs.read_pasted("1\n2", Seating(), inputs.Choice(format="txt"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1\n2", []),
        ("[1]", ["Read as JSON."]),
        ("a\tb\n1\t2", ["Read as CSV, separated by tabs."]),
    ],
)
def test_what_was_told_apart_is_said_where_it_is_not_plain_lines(text: str, words: list[str]) -> None:
    answer = inputs.read_pasted(text, Plain())
    list(answer)
    assert answer.reading.sentences == words


def test_the_format_said_wins_over_a_files_name() -> None:
    choice = inputs.Choice(format="csv")
    assert list(inputs.read_file(io.BytesIO(b"a,b\n1,2\n"), "export.dat", Plain(), choice)) == [{"a": "1", "b": "2"}]
