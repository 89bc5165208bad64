"""Items come back as they were given, in order, cut into chunks of bounded size."""

from __future__ import annotations

import itertools
import json
import uuid
import zlib
from decimal import Decimal
from typing import Any

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from bulkops import manifests
from bulkops.exceptions import InvalidItems
from bulkops.models import Chunk, Job, Manifest
from bulkops.states import JobState
from bulkops.storable import strict_json


def unpacked(packed: list[manifests.Packed]) -> list[Any]:
    return list(itertools.chain.from_iterable(manifests.decode(one.payload) for one in packed))


def there_and_back(items: list[Any]) -> list[Any]:
    return unpacked(list(manifests.pack(items)))


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value


text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(text, inner, max_size=5),
    max_leaves=10,
)
tables = st.lists(text, unique=True, max_size=4).flatmap(
    lambda columns: st.lists(st.fixed_dictionaries(dict.fromkeys(columns, json_values)), max_size=20)
)


@pytest.mark.slow
@given(st.lists(json_values) | tables, st.integers(1, 7))
def test_any_json_comes_back_as_it_was(items: list[Any], chunk_items: int) -> None:
    with override_settings(BULKOPS={"chunk_items": chunk_items}):
        packed = list(manifests.pack(items))
    assert repr(unpacked(packed)) == repr(items)
    assert all(1 <= one.size <= chunk_items for one in packed)
    assert [one.number for one in packed] == list(range(len(packed)))
    assert [one.start for one in packed] == list(itertools.accumulate([one.size for one in packed], initial=0))[:-1]


@pytest.mark.parametrize(
    "items",
    [
        [{}],
        [{}, {}],
        [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
        [{"a": 1}, {"a": 1, "b": 2}],
        [{"a": 1}, "a"],
        [{"columns": ["a"], "rows": [[1]]}],
        [{"values": [1]}, {"values": [2]}],
        [[], [[]], None],
        ["a\x00b", "\u2028", "😀"],
        [10**4_000],
    ],
    ids=range(10),
)
def test_odd_shapes_come_back_as_they_were(items: list[Any]) -> None:
    assert repr(there_and_back(items)) == repr(items)


@pytest.mark.parametrize("items", [[{1: "a"}], [{1: "a"}, {1: "b"}], [{None: 1}, {None: 2}], [{True: (1, 2)}]])
def test_what_is_nearly_json_becomes_json_the_same_way_in_every_chunk(items: list[Any]) -> None:
    assert there_and_back(items) == json.loads(json.dumps(items))


def test_no_items_make_no_chunks() -> None:
    assert list(manifests.pack([])) == []


def test_a_chunk_ends_after_so_many_items() -> None:
    with override_settings(BULKOPS={"chunk_items": 3}):
        packed = list(manifests.pack(range(7)))
    assert [(one.number, one.start, one.size) for one in packed] == [(0, 0, 3), (1, 3, 3), (2, 6, 1)]


def test_an_operation_may_want_smaller_chunks_and_never_gets_larger_ones() -> None:
    assert [one.size for one in manifests.pack(range(7), most=3)] == [3, 3, 1]
    assert [one.size for one in manifests.pack_again([(0, "a"), (5, "b")], most=1)] == [1, 1]
    with override_settings(BULKOPS={"chunk_items": 2}):
        assert [one.size for one in manifests.pack(range(3), most=100)] == [2, 1]


def test_a_chunk_ends_early_where_items_are_large() -> None:
    with override_settings(BULKOPS={"chunk_bytes": 100}):
        packed = list(manifests.pack(["x" * 38] * 5 + ["y" * 500, "z"]))
    assert [one.size for one in packed] == [2, 2, 1, 1, 1]


def test_packing_can_go_on_where_another_ended() -> None:
    with override_settings(BULKOPS={"chunk_items": 2}):
        packed = list(manifests.pack("abc", number=5, start=100))
    assert [(one.number, one.start, one.size) for one in packed] == [(5, 100, 2), (6, 102, 1)]


def test_an_error_names_the_position_in_the_whole() -> None:
    with pytest.raises(InvalidItems, match="Item 101 cannot") as refusal:
        list(manifests.pack([1, float("nan")], number=5, start=100))
    assert refusal.value.errors == [(101, None, "cannot be stored as JSON")]


def circular() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (float("nan"), "cannot be stored as JSON"),
        ({"a": [float("inf")]}, "cannot be stored as JSON"),
        ("\ud800", "cannot be stored as JSON"),
        ({"\udfff": 1}, "cannot be stored as JSON"),
        (object(), "cannot be stored as JSON"),
        (b"bytes", "cannot be stored as JSON"),
        ({(1, 2): 3}, "cannot be stored as JSON"),
        (10**5_000, "cannot be stored as JSON"),
        (circular(), "cannot be stored as JSON"),
        (deep(), "cannot be stored as JSON"),
        (nested(101), "is nested more than 100 levels deep"),
        ("x" * 64 * 1024, "is larger than 65,536 bytes"),
        ("é" * 32 * 1024, "is larger than 65,536 bytes"),
    ],
    ids=range(13),
)
def test_an_item_that_cannot_be_stored_is_refused_with_its_position(item: Any, words: str) -> None:
    with pytest.raises(InvalidItems) as refusal:
        list(manifests.pack([1, 2, item, 4]))
    assert refusal.value.message == f"Item 2 {words}."
    assert refusal.value.errors == [(2, None, words)]


@pytest.mark.parametrize("item", ["x" * (64 * 1024 - 2), "é" * (32 * 1024 - 1), nested(100), [[]] * 1_000])
def test_an_item_just_within_bounds_is_taken(item: Any) -> None:
    assert there_and_back([item]) == [item]


def test_items_are_packed_as_they_come() -> None:
    taken = []

    def items() -> Any:
        for number in range(10):
            taken.append(number)
            yield number

    with override_settings(BULKOPS={"chunk_items": 2}):
        next(manifests.pack(items()))
    assert len(taken) == 3


def job(owner: Any) -> Job:
    return Job.objects.create(operation="x", owner=owner, state=JobState.COMPLETED)


@pytest.mark.parametrize(
    "item",
    ["", "plain", "é \N{GRINNING FACE}", 'a "quote" and a \\', "\n\t\x00\x7f\u2028", 0, -17, 10**40, {"a": "1"},
     {"ä": "\x1f", "b": ""}, {}, {"n": 1}, {1: "a"}, True, None, 1.5, ["a"], {"a": {"b": "c"}}, Decimal("1.50")],
)  # fmt: skip
def test_an_item_is_as_large_as_its_json_whatever_it_is(item: Any) -> None:
    assert manifests._measure(0, item) == len(strict_json(item).encode())


def test_chunks_and_manifests_are_stored_together(owner: Any, django_assert_num_queries: Any) -> None:
    mine, other = job(owner), job(owner)
    items = [{"a": "tab\tnew\nline\\x é", "b": number} for number in range(25)]
    with override_settings(BULKOPS={"chunk_items": 10}), django_assert_num_queries(2):
        manifests.store(mine.pk, manifests.pack(items))
    chunks = Chunk.objects.filter(job=mine).order_by("number")
    fresh = {"cursor": 0, "succeeded": 0, "epoch": 0, "stop": False, "finished": False, "holder_id": None, "due": None}
    assert list(chunks.values_list("number", "start", "size")) == [(0, 0, 10), (1, 10, 10), (2, 20, 5)]
    assert chunks.filter(**fresh).count() == 3
    payloads = Manifest.objects.filter(job=mine).order_by("number").values_list("payload", flat=True)
    assert [item for payload in payloads for item in manifests.decode(payload)] == items
    assert not Chunk.objects.filter(job=other).exists()


def test_a_large_input_is_stored_in_several_parts(owner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "COPY_BYTES", 100)
    mine = job(owner)
    with override_settings(BULKOPS={"chunk_items": 1}):
        manifests.store(mine.pk, manifests.pack([str(uuid.uuid4()) for _ in range(20)]))
    assert Chunk.objects.filter(job=mine).count() == Manifest.objects.filter(job=mine).count() == 20


def test_storing_nothing_stores_nothing(owner: Any, django_assert_num_queries: Any) -> None:
    mine = job(owner)
    with django_assert_num_queries(0):
        manifests.store(mine.pk, [])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"no zlib",
        zlib.compress(b"x" * 1000)[:-8],
        zlib.compress(b"\xff\xfe"),
        zlib.compress(b"{"),
        zlib.compress(b"7"),
        zlib.compress(b"[1]"),
        zlib.compress(b"{}"),
        zlib.compress(b'{"values": 7}'),
        zlib.compress(b'{"columns": ["a"], "rows": [[1, 2]]}'),
        zlib.compress(b'{"columns": [[]], "rows": [[1]]}'),
        zlib.compress(b"[" * 100_000),
    ],
    ids=lambda payload: repr(payload[:12]),
)
def test_whatever_is_wrong_with_a_stored_chunk_is_one_kind_of_error(payload):
    with pytest.raises(manifests.Damaged):
        manifests.read(payload)
