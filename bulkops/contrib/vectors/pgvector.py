"""Neighbours by the database itself, where it has the extension `vector`; and the index that makes them quick.

Vectors are kept as `real[]`, so the app works without the extension. With it, each collection may have a partial HNSW
index over the cast: approximate, and used for searches without a filter. The extension is made by a command alone.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from bulkops.contrib.vectors.models import Metric, Vector
from bulkops.contrib.vectors.storing import literal
from bulkops.exceptions import BulkopsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from bulkops.contrib.vectors.models import Collection

MOST_INDEXED_DIMENSIONS = 2_000
"""What an HNSW index takes; larger vectors are compared one by one."""
LEAST_LOOKED_AT, MOST_LOOKED_AT = 200, 1_000
"""Candidates of an approximate search (`hnsw.ef_search`)."""
OPERATORS = {
    Metric.COSINE: ("<=>", "vector_cosine_ops"),
    Metric.INNER_PRODUCT: ("<#>", "vector_ip_ops"),
    Metric.EUCLIDEAN: ("<->", "vector_l2_ops"),
}

# By hand, as the ORM knows neither the type nor its operators. The collection's number stands in the text itself, or
# the planner would not see that the partial index serves. {order} is the index's own expression, word for word.
_NEAREST = """
SELECT key, distance FROM (
    SELECT key, {order} AS distance FROM {vectors} WHERE {which} ORDER BY {order} LIMIT %(k)s
) found ORDER BY distance, key
"""
# Each table is a type as well, and a project may have one of that name.
_AVAILABLE = """
SELECT EXISTS (
    SELECT FROM pg_depend made JOIN pg_extension ON pg_extension.oid = made.refobjid
    WHERE made.classid = 'pg_type'::regclass AND made.objid = to_regtype('vector') AND extname = 'vector')
"""
# CONCURRENTLY: nobody who indexes waits while it is built. It cannot run in a transaction.
_MAKE = """
CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {vectors}
USING hnsw ((embedding::vector({dimension})) {operators}) WHERE collection_id = {collection}
"""


class IndexRefused(BulkopsError):
    """The collection cannot have this index."""

    code = "index-refused"


def is_available() -> bool:
    """Whether this database has the extension, where statements look for it."""
    with connection.cursor() as cursor:
        cursor.execute(_AVAILABLE)
        return cursor.fetchone()[0]


def create_extension() -> None:
    """Make the extension in this database. Raises the database's error where the server lacks it or refuses."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE EXTENSION IF NOT EXISTS vector")


def nearest(
    collection: Collection, wanted: np.ndarray, k: int, where: dict[str, Any] | None, *, exact: bool
) -> list[tuple[str, float]]:
    """Ids and distances of the k nearest, the nearest first.

    Without a filter, and unless `exact`, by the collection's index if it has one.
    """
    operator, _ = OPERATORS[Metric(collection.metric)]
    which = f"collection_id = {int(collection.pk)}"
    if where:
        which += " AND metadata @> %(where)s::jsonb"
    cast = f"vector({int(collection.dimension)})"
    statement = _NEAREST.format(
        order=f"(embedding::{cast}) {operator} %(wanted)s::{cast}", vectors=Vector._meta.db_table, which=which
    )
    values: dict[str, Any] = {"wanted": literal(wanted, "[]"), "k": k, "where": json.dumps(where or {})}
    # A filter after an approximate search would find too few.
    by_index = not where and not exact
    looked_at = min(max(LEAST_LOOKED_AT, 2 * k), MOST_LOOKED_AT)
    chosen = {"hnsw.ef_search": str(looked_at)} if by_index else {"enable_indexscan": "off"}
    with transaction.atomic(), _set(chosen), connection.cursor() as cursor:
        cursor.execute(statement, values)
        found = cursor.fetchall()
    if by_index and len(found) < k:
        # Of its candidates, many may be versions of vectors that were replaced and are not vacuumed away yet.
        return nearest(collection, wanted, k, where, exact=True)
    return found


@contextmanager
def _set(chosen: dict[str, str]) -> Iterator[None]:
    """Settings of one statement; the transaction may be a host's, and gets its own back."""
    with connection.cursor() as cursor:
        before = {}
        for name, value in chosen.items():
            cursor.execute(
                "SELECT current_setting(%s, true), set_config(%s, %s, true)",
                [name, name, value],
            )
            before[name] = cursor.fetchone()[0]
        yield
        for name, value in before.items():
            if value:
                cursor.execute("SELECT set_config(%s, %s, true)", [name, value])


def index_name(collection: Collection) -> str:
    """The name of the collection's index."""
    return f"bulkops_vectors_hnsw_{int(collection.pk)}"


def has_index(collection: Collection) -> bool | None:
    """Whether the collection has its index; None where making one was interrupted and left a broken one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", [index_name(collection)])
        found = cursor.fetchone()
    return False if found is None else found[0] or None


def make_index(collection: Collection) -> None:
    """Make the collection's index while others go on reading and writing. Raises IndexRefused.

    It commits by itself, so call it outside any transaction. A broken one is made anew.
    """
    if connection.in_atomic_block:
        raise IndexRefused("An index cannot be made in a transaction.")
    if not is_available():
        raise IndexRefused("This database lacks the extension “vector”: manage.py vector_index --create-extension")
    if collection.dimension > MOST_INDEXED_DIMENSIONS:
        raise IndexRefused(
            f"An index takes at most {MOST_INDEXED_DIMENSIONS:,} dimensions, and “{collection.name}” has"
            f" {collection.dimension:,}. It can be searched all the same."
        )
    if has_index(collection) is None:
        drop_index(collection)
    _, operators = OPERATORS[Metric(collection.metric)]
    with connection.cursor() as cursor:
        cursor.execute(
            _MAKE.format(
                name=index_name(collection),
                vectors=Vector._meta.db_table,
                dimension=int(collection.dimension),
                operators=operators,
                collection=int(collection.pk),
            )
        )
        # A planner that has not heard of this collection expects one row of it, and would sort them all instead.
        cursor.execute(f"ANALYZE {Vector._meta.db_table} (collection_id)")


def drop_index(collection: Collection) -> None:
    """Drop the collection's index; searches are exact again. Outside any transaction, as `make_index`."""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {index_name(collection)}")
