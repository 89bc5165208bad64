"""Nearest neighbours in a collection: by the database where it has pgvector, else by numpy, with the same answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bulkops.contrib.vectors import directory, embedding, pgvector, scan
from bulkops.contrib.vectors.models import ENGINES, Collection, Vector
from bulkops.exceptions import BulkopsError, InvalidParams
from bulkops.storable import has_nul, strict_json

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_NEIGHBOURS = 1_000


class UnknownCollection(BulkopsError):
    """There is no such collection."""

    code = "unknown-collection"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no collection called “{name}”.")


class UnknownVector(BulkopsError):
    """There is no such vector in the collection."""

    code = "unknown-vector"


@dataclass(frozen=True)
class Neighbour:
    """A vector that was found."""

    id: str
    distance: float
    """By the collection's metric; smaller is nearer."""
    metadata: dict[str, Any]


def nearest(
    collection: str,
    vector: Sequence[float] | np.ndarray | str,
    k: int = 10,
    where: dict[str, Any] | None = None,
    *,
    exact: bool = False,
    engine: str | None = None,
) -> list[Neighbour]:
    """The k nearest vectors of a collection, the nearest first; fewer if it has no more.

    `where` keeps those whose metadata contain it (`{"colour": "red"}`). Exact, but for a collection with an index
    (`manage.py vector_index`), a search without `where` and with `exact` left out. `engine` is “numpy” or “pgvector”;
    left out, pgvector where the database has it.

    Whoever may call this may read the collection: asking who somebody is, is the caller's. Raises UnknownCollection,
    BadVector and InvalidParams.
    """
    found = find_collection(collection)
    wanted = embedding.storable(embedding.read(vector), found.metric, found.dimension)
    return _nearest(found, wanted, k, where, exact=exact, engine=engine)


def nearest_to(
    collection: str,
    key: str,
    k: int = 10,
    where: dict[str, Any] | None = None,
    *,
    exact: bool = False,
    engine: str | None = None,
) -> list[Neighbour]:
    """The k nearest to a vector of the collection, without that one. Raises UnknownVector, and as `nearest` does."""
    found = find_collection(collection)
    row = Vector.objects.filter(collection=found, key=key).first()
    if row is None:
        raise UnknownVector(f"There is no vector “{key}” in the collection “{collection}”.")
    _check(k, where)
    wanted = np.array(row.embedding, dtype=np.float32)
    others = [one for one in _nearest(found, wanted, k, where, exact=exact, engine=engine, more=1) if one.id != key]
    return others[:k]


def find_collection(name: str) -> Collection:
    """The collection of that name. Raises UnknownCollection."""
    found = directory.find(name) if directory.NAME.fullmatch(name) else None
    if found is None:
        raise UnknownCollection(name)
    return found


def _nearest(
    found: Collection,
    wanted: np.ndarray,
    k: int,
    where: dict[str, Any] | None,
    *,
    exact: bool,
    engine: str | None,
    more: int = 0,
) -> list[Neighbour]:
    _check(k, where)
    if engine is not None and engine not in ENGINES:
        raise InvalidParams({"engine": [f"Not {engine}, but {' or '.join(ENGINES)}."]})
    available = engine != "numpy" and pgvector.is_available()
    if engine == "pgvector" and not available:
        raise InvalidParams({"engine": ["This database lacks the extension “vector”."]})
    if available:
        places = pgvector.nearest(found, wanted, k + more, where, exact=exact)
    else:
        places = scan.nearest(found, wanted, k + more, where)
    keys = [key for key, _ in places]
    metadata = dict(Vector.objects.filter(collection=found, key__in=keys).values_list("key", "metadata"))
    # One may have been deleted since.
    return [Neighbour(key, float(distance), metadata[key]) for key, distance in places if key in metadata]


def _check(k: int, where: dict[str, Any] | None) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= MOST_NEIGHBOURS:
        raise InvalidParams({"k": [f"A whole number from 1 to {MOST_NEIGHBOURS:,}."]})
    try:
        valid = where is None or (isinstance(where, dict) and not has_nul(strict_json(where)))
    except (TypeError, ValueError, RecursionError):
        valid = False
    if not valid:
        raise InvalidParams({"where": ["A JSON object, without a NUL."]})
