"""Whatever an item returns or raises can be stored: strict JSON that PostgreSQL takes, bounded in size."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import tracemalloc
import uuid
from typing import Any

import pytest
from django.db import connection
from django.utils.translation import gettext_lazy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulkops import storable

LIMIT = 64 * 1024


class Silent:
    """Refuses to be text, in the worst way."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __str__(self) -> str:
        raise self.error

    __repr__ = __str__


class Colour(enum.IntEnum):
    RED = 1


class Word(enum.StrEnum):
    YES = "yes"


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def shared() -> list[Any]:
    """Twelve small lists that would be a million million values when written out."""
    value: list[Any] = [1] * 10
    for _ in range(12):
        value = [value] * 10
    return value


def stored(value: Any, limit: int = LIMIT) -> Any:
    """What a value becomes, after the promises that hold for any were checked."""
    encoded = storable.json_text(value, limit)
    assert encoded is not None
    assert len(encoded.encode()) <= limit
    assert not storable.has_nul(encoded)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    return json.loads(encoded, parse_constant=refuse)


KEPT = [
    ("hello", "hello"),
    ("", ""),
    (0, 0),
    (True, True),
    (1.5, 1.5),
    (10**4_000, 10**4_000),
    ([1, [2, {"a": None}]], [1, [2, {"a": None}]]),
    ((1, 2), [1, 2]),
    ({3}, [3]),
    ({}, {}),
    ("a\\u0000b", "a\\u0000b"),
    ("\x01\x7f\u2028😀", "\x01\x7f\u2028😀"),
    (Colour.RED, 1),
    (Word.YES, "yes"),
    (decimal.Decimal("1.50"), "1.50"),
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.timedelta(seconds=90), "P0DT00H01M30S"),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (gettext_lazy("later"), "later"),
    ({1: "a", None: "b", (2, 3): "c"}, {"1": "a", "None": "b", "(2, 3)": "c"}),
]


@pytest.mark.parametrize(("value", "as_json"), KEPT, ids=lambda value: type(value).__name__)
def test_what_json_knows_or_nearly_knows_is_kept(value: Any, as_json: Any) -> None:
    assert stored(value) == as_json


MENDED = [
    ("a\x00b", "a\ufffdb"),
    ("\ud800", "\ufffd"),
    ("\ud83d\ude00", "\ufffd\ufffd"),
    ({"a\x00": "\udfff"}, {"a\ufffd": "\ufffd"}),
    (float("nan"), "nan"),
    ([float("inf"), -float("inf")], ["inf", "-inf"]),
    (b"\x00\xff", "b'\\x00\\xff'"),
    (dt.time(1, 2, tzinfo=dt.UTC), "01:02:00+00:00"),
    (ValueError("bad\x00"), "bad\ufffd"),
    ({"fine": 1, "not": Silent(ValueError())}, {"fine": 1, "not": storable.UNREADABLE}),
    ({Silent(ValueError()): 1}, {storable.UNREADABLE: 1}),
    (Silent(SystemExit(3)), storable.UNREADABLE),
    (Silent(KeyboardInterrupt()), storable.UNREADABLE),
    (Silent(MemoryError()), storable.UNREADABLE),
]


@pytest.mark.parametrize(("value", "as_json"), MENDED, ids=range(len(MENDED)))
def test_what_cannot_be_stored_is_mended_where_it_stands(value: Any, as_json: Any) -> None:
    assert stored(value) == as_json


def test_a_number_that_cannot_be_written_costs_the_result_and_nothing_more() -> None:
    assert storable.json_text(10**5_000, LIMIT) == storable.UNREADABLE_JSON


def test_nothing_stays_nothing() -> None:
    assert storable.json_text(None, LIMIT) is None


@pytest.mark.parametrize("value", [nested(60), nested(100_000), circular()], ids=["60", "100,000", "circular"])
def test_what_is_nested_too_deeply_is_cut_off_there(value: Any) -> None:
    depth = 0
    level = stored(value)
    while isinstance(level, list):
        depth, level = depth + 1, level[0]
    assert (depth, level) == (51, "(nested too deeply)")


@pytest.mark.parametrize(
    "value",
    ["x" * 20_000_000, "é" * LIMIT, "😀" * LIMIT, '"' * LIMIT, "\\" * LIMIT, "\x01" * LIMIT, "\x00" * LIMIT],
    ids=["20 MB", "two bytes", "four bytes", "quotes", "backslashes", "controls", "NULs"],
)
def test_a_text_too_large_is_cut_and_says_so(value: str) -> None:
    kept = stored(value)
    assert list(kept) == ["truncated", "bytes"]
    assert kept["bytes"] > LIMIT
    assert len(kept["truncated"]) == LIMIT // 8


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(list(range(3_000_000)), marks=pytest.mark.slow),
        {str(n): n for n in range(100_000)},
        pytest.param(shared(), marks=pytest.mark.slow),
        [10**4_000] * 99,
    ],
)
def test_a_structure_too_large_is_cut_and_says_so(value: Any) -> None:
    assert list(stored(value)) == ["truncated", "bytes"]


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_what_just_fits_is_kept_and_one_more_is_cut(letter: str) -> None:
    fits = letter * ((1_000 - 2) // len(letter.encode()))
    assert stored(fits, 1_000) == fits
    assert list(stored(fits + letter, 1_000)) == ["truncated", "bytes"]


def test_a_cut_result_says_how_large_it_was() -> None:
    assert stored("x" * 20_000_000)["bytes"] == 20_000_002


@pytest.mark.slow
def test_a_result_of_gigabytes_is_not_written_out_to_be_cut() -> None:
    value = ["x" * 1_000_000] * 10_000
    tracemalloc.start()
    try:
        assert stored(value)["bytes"] > 60_000_000
        assert tracemalloc.get_traced_memory()[1] < 300_000_000
    finally:
        tracemalloc.stop()


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]))
    | st.text('\x00\ud800\udfff\\u0"')
    | st.binary()
    | st.decimals()
    | st.datetimes(timezones=st.timezones())
    | st.times(timezones=st.timezones())
    | st.builds(Silent, st.builds(RuntimeError)),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@pytest.mark.slow
@pytest.mark.django_db
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(anything, st.sampled_from([80, 300, LIMIT]))
def test_whatever_goes_in_postgresql_takes_it_and_gives_it_back(value: Any, limit: int) -> None:
    encoded = storable.json_text(value, limit)
    if value is None:
        assert encoded is None
        return
    plain = stored(value, limit)
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::jsonb::text", [encoded])
        # PostgreSQL's numbers are exact and written out: 1e300 comes back as an integer of 301 digits.
        assert json.loads(cursor.fetchone()[0], parse_int=float) == json.loads(json.dumps(plain), parse_int=float)


# -- text


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("hello", "hello"),
        ("a\x00b\ud800", "a\ufffdb\ufffd"),
        (ValueError("no"), "no"),
        (None, "None"),
        (Silent(ValueError()), storable.UNREADABLE),
        (Silent(SystemExit()), storable.UNREADABLE),
    ],
    ids=range(6),
)
def test_text_is_made_storable(value: Any, words: str) -> None:
    assert storable.text(value, 100) == words


def test_text_that_just_fits_is_kept() -> None:
    assert storable.text("é" * 100, 100) == "é" * 100


def test_longer_text_is_cut_and_says_so() -> None:
    cut = storable.text("é" * 101, 100)
    assert cut == "é" * 87 + "… (truncated)"
    assert len(cut) == 100


@pytest.mark.parametrize("limit", [0, 1, 5, 12, 13, 14])
def test_no_limit_is_too_small(limit: int) -> None:
    assert len(storable.text("x" * 100, limit)) == limit


@given(st.text(st.characters(exclude_categories=[])), st.integers(0, 50))
def test_any_text_fits_and_can_be_encoded(value: str, limit: int) -> None:
    words = storable.text(value, limit)
    assert len(words) <= limit
    assert b"\x00" not in words.encode()


# -- has_nul


@given(st.text('\x00\\u0a"'))
def test_a_nul_is_found_in_json_and_only_there(value: str) -> None:
    assert storable.has_nul(json.dumps(value)) == ("\x00" in value)
    assert storable.has_nul(json.dumps({value: 1}, ensure_ascii=False)) == ("\x00" in value)
