"""Exact neighbours by numpy: every vector of the collection, a block at a time, whatever the collection's size."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db import connection

from bulkops.contrib.vectors.models import Metric, Vector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkops.contrib.vectors.models import Collection

BLOCK_BYTES = 4 * 1024 * 1024
_HEADER_BYTES = 20
_NUMBER = np.dtype([("size", ">i4"), ("number", ">f4")])
"""How PostgreSQL sends an array: each number after its size, behind a header."""

# By hand: an array made into a list of Python floats takes eight times the memory of its bytes, and longer.
_BLOCK = """
SELECT key, array_send(embedding) FROM {vectors}
WHERE collection_id = %s AND key > %s AND metadata @> %s::jsonb ORDER BY key LIMIT %s
"""


def nearest(
    collection: Collection, wanted: np.ndarray, k: int, where: dict[str, Any] | None
) -> list[tuple[str, float]]:
    """Ids and distances of the k nearest, the nearest first."""
    keys: list[str] = []
    distances = np.empty(0, dtype=np.float32)
    for block_keys, block in _blocks(collection, where):
        keys += block_keys
        distances = np.concatenate([distances, _distances(block, wanted, collection.metric)])
        if len(keys) > k:
            best = np.argpartition(distances, k - 1)[:k]
            keys, distances = [keys[place] for place in best], distances[best]
    return sorted(zip(keys, map(float, distances), strict=True), key=lambda found: (found[1], found[0]))


def _blocks(collection: Collection, where: dict[str, Any] | None) -> Iterator[tuple[list[str], np.ndarray]]:
    """Keys and vectors by key; each block is a statement of its own, so no snapshot stays open."""
    rows = max(1, BLOCK_BYTES // (_HEADER_BYTES + _NUMBER.itemsize * collection.dimension))
    last = ""
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                _BLOCK.format(vectors=Vector._meta.db_table),
                [collection.pk, last, json.dumps(where or {}), rows],
            )
            found = cursor.fetchall()
        if found:
            raw = b"".join(bytes(sent)[_HEADER_BYTES:] for _, sent in found)
            numbers = np.frombuffer(raw, dtype=_NUMBER)["number"].astype(np.float32)
            yield [key for key, _ in found], numbers.reshape(len(found), collection.dimension)
        if len(found) < rows:
            return
        last = found[-1][0]


def _distances(block: np.ndarray, wanted: np.ndarray, metric: str) -> np.ndarray:
    if metric == Metric.EUCLIDEAN:
        return np.linalg.norm(block - wanted, axis=1)
    products = block @ wanted
    return 1 - products if metric == Metric.COSINE else -products
