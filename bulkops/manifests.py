"""Items as they are stored: one compressed, immutable row per chunk.

The payload is zlib over JSON: `{"values": [...]}`, or for dicts of the same keys `{"columns": [...], "rows": [[...]]}`
so that column names are written once, and `"roots": [...]` beside them in a job that retries. A million items are a
thousand rows.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import zlib
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connection

from bulkops import cutting
from bulkops.conf import conf
from bulkops.exceptions import BulkopsError, InvalidItems
from bulkops.storable import strict_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

T = TypeVar("T")

_NAMES_BYTES = 4096
COPY_BYTES = 4 * 1024 * 1024
DEEPEST = 100
"""Levels of an item; more could be written here and yet not be read in a worker, deeper in its call stack."""


@dataclass(frozen=True)
class Content:
    """The items of one chunk, in order."""

    items: list[Any]
    roots: list[int] | None
    """In a job that retries: each item's position in the first job of the line, which makes its key."""

    def root(self, offset: int, start: int) -> int:
        """The root position of an item in a chunk that begins at `start`."""
        return start + offset if self.roots is None else self.roots[offset]


@dataclass(frozen=True)
class Packed:
    """One chunk's items, ready to be stored."""

    number: int
    start: int
    size: int
    payload: bytes


def _encode(items: list[Any], roots: list[int] | None) -> bytes:
    columns = list(items[0]) if isinstance(items[0], dict) else None
    # JSON makes text of every key; as a column's name, a number would stay one.
    named = columns is not None and all(isinstance(column, str) for column in columns)
    if columns is not None and named and all(isinstance(item, dict) and list(item) == columns for item in items):
        content: Any = {"columns": columns, "rows": [list(item.values()) for item in items]}
    else:
        content = {"values": items}
    if roots is not None:
        content["roots"] = roots
    return zlib.compress(strict_json(content).encode(), level=3)


class Damaged(BulkopsError):
    """A stored chunk holds no items: it is not compressed, no JSON, or of another shape."""

    code = "items-unreadable"


def read(payload: bytes | memoryview) -> Content:
    """What a stored chunk holds. Raises Damaged."""
    try:
        content = json.loads(zlib.decompress(payload))
        if "columns" in content:
            columns = content["columns"]
            items = [dict(zip(columns, row, strict=True)) for row in content["rows"]]
        else:
            items = list(content["values"])
        return Content(items, content.get("roots"))
    except (zlib.error, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error


def decode(payload: bytes | memoryview) -> list[Any]:
    """The items of a stored chunk, in order. Raises Damaged."""
    return read(payload).items


def fields_of(payload: bytes | memoryview) -> tuple[dict[str, None], bool]:
    """The fields of a stored chunk's items, in the order of their first naming, and whether any item has none.

    Unpacks only the payload's beginning where the column names stand there once for all.
    """
    mark = '{"columns":'
    begun = zlib.decompressobj().decompress(payload, _NAMES_BYTES).decode(errors="ignore")
    if begun.startswith(mark):
        with contextlib.suppress(ValueError):  # more names than that holds
            return dict.fromkeys(json.JSONDecoder().raw_decode(begun, len(mark))[0]), False
    items = decode(payload)
    named = dict.fromkeys(name for item in items if isinstance(item, dict) for name in item)
    return named, any(not isinstance(item, dict) for item in items)


def _measure(position: int, item: Any) -> int:
    """The item's size in bytes. Raises InvalidItems for one that cannot be stored."""
    try:
        if (size := _flat_size(item)) is not None and size <= conf().item_bytes:
            return size
        encoded = strict_json(item).encode()
    except (TypeError, ValueError, RecursionError):
        raise _unstorable(position, "cannot be stored as JSON") from None
    if len(encoded) > conf().item_bytes:
        raise _unstorable(position, f"is larger than {conf().item_bytes:,} bytes")
    # Cheap for nearly every item: without that many brackets there cannot be that many levels.
    if encoded.count(b"[") + encoded.count(b"{") > DEEPEST and _depth(item) > DEEPEST:
        raise _unstorable(position, f"is nested more than {DEEPEST} levels deep")
    return len(encoded)


def _flat_size(item: Any) -> int | None:
    """The same for what nearly all items are, without making its JSON: that of a million would take seconds.

    None for anything but a text, a whole number, or a dict of texts.
    """
    kind = type(item)
    if kind is str:
        return _text_size(item)
    if kind is int:
        return len(repr(item))
    if kind is not dict or not item:
        return None
    size = 1 + 2 * len(item)
    for name, value in item.items():
        if type(name) is not str or type(value) is not str:
            return None
        size += _text_size(name) + _text_size(value)
    return size


def _text_size(words: str) -> int:
    """Raises UnicodeEncodeError, a ValueError, for a lone surrogate."""
    quoted: str = encode_basestring(words)
    return len(quoted) if quoted.isascii() else len(quoted.encode())


def _unstorable(position: int, text: str) -> InvalidItems:
    return InvalidItems(f"Item {position} {text}.", [(position, None, text)])


def _depth(item: Any) -> int:
    """How many lists and objects are inside one another, counted without recursion."""
    depth, level = 0, [item]
    while level := [value for value in level if isinstance(value, dict | list | tuple)]:
        depth += 1
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]
    return depth


def pack(
    items: Iterable[Any], *, number: int = 0, start: int = 0, most: int | None = None, workers: int = 1
) -> Iterator[Packed]:
    """Cut items into chunks of at most `most` items, if that is less than the setting `chunk_items`.

    For several workers, smaller ones towards the end. Raises InvalidItems for an item that is no strict JSON, or too
    large.
    """
    sized, stored = itertools.tee(items)  # a million items pass here, so no generator of ours is in their way
    for chunk in _cut(zip(stored, map(_measure, itertools.count(start), sized), strict=True), most, workers):
        yield Packed(number, start, len(chunk), _encode(chunk, None))
        number, start = number + 1, start + len(chunk)


def pack_again(items: Iterable[tuple[int, Any]], *, most: int | None = None, workers: int = 1) -> Iterator[Packed]:
    """The same for items of another job, each with its root position."""
    start = 0
    weighed = ((one, _measure(position, one[1])) for position, one in enumerate(items))
    for number, chunk in enumerate(_cut(weighed, most, workers)):
        yield Packed(number, start, len(chunk), _encode([item for _, item in chunk], [root for root, _ in chunk]))
        start += len(chunk)


def _cut(weighed: Iterable[tuple[T, int]], most: int | None, workers: int) -> Iterator[list[T]]:
    most = min(most or conf().chunk_items, conf().chunk_items)
    return cutting.cut(weighed, most=most, most_bytes=conf().chunk_bytes, workers=workers)


def store(job_id: UUID, packed: Iterable[Packed]) -> None:
    """Insert chunks with their manifests by COPY, in the caller's transaction.

    Two COPYs of a few MB at a time: a million items go in within a second or two, where a row per item takes eleven.
    """
    chunks, manifests = io.StringIO(), io.StringIO()
    for one in packed:
        chunks.write(f"{job_id}\t{one.number}\t{one.start}\t{one.size}\t0\t0\t0\t0\t0\t0\t0\tf\tf\n")
        manifests.write(f"{job_id}\t{one.number}\t\\\\x{one.payload.hex()}\n")
        if manifests.tell() > COPY_BYTES:
            _copy(chunks, manifests)
            chunks, manifests = io.StringIO(), io.StringIO()
    if manifests.tell():
        _copy(chunks, manifests)


def _copy(chunks: io.StringIO, manifests: io.StringIO) -> None:
    with connection.cursor() as cursor:
        chunks.seek(0)
        cursor.copy_expert(
            "COPY bulkops_chunk (job_id, number, start, size, cursor, succeeded, skipped, failed, in_doubt, deferred,"
            " epoch, stop, finished) FROM STDIN",
            chunks,
        )
        manifests.seek(0)
        cursor.copy_expert("COPY bulkops_manifest (job_id, number, payload) FROM STDIN", manifests)
