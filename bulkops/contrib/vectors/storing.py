"""Writes one vector: a single round trip, since that is what an item costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection

from bulkops.contrib.vectors.models import Collection, Vector
from bulkops.storable import strict_json

if TYPE_CHECKING:
    import numpy as np

# By hand: the ORM has no upsert that says whether the row is new, and would ask for the collection by itself. The
# collection is looked up in the same statement, because a worker remembers it, and it may be gone meanwhile.
_STORE = """
WITH place AS MATERIALIZED (
    SELECT id FROM {collections} WHERE id = %(collection)s AND dimension = %(dimension)s AND metric = %(metric)s
), stored AS (
    INSERT INTO {vectors} (collection_id, key, embedding, metadata)
    SELECT id, %(key)s, %(embedding)s::real[], %(metadata)s::jsonb FROM place
    ON CONFLICT (collection_id, key) DO {action}
    RETURNING xmax = 0 AS is_new
)
SELECT (SELECT count(*) FROM place), (SELECT is_new FROM stored)
"""
_REPLACE = "UPDATE SET embedding = EXCLUDED.embedding, metadata = EXCLUDED.metadata"


def store(
    collection: Collection, key: str, embedding: np.ndarray, metadata: dict[str, Any], *, replace: bool
) -> str | None:
    """Store in the caller's transaction: “new”, “replaced” or “exists”; None if the collection is not there any more.

    Locks the row of that key until the transaction ends.
    """
    statement = _STORE.format(
        collections=Collection._meta.db_table,
        vectors=Vector._meta.db_table,
        action=_REPLACE if replace else "NOTHING",
    )
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            {
                "collection": collection.pk,
                "dimension": collection.dimension,
                "metric": collection.metric,
                "key": key,
                "embedding": literal(embedding),
                "metadata": strict_json(metadata),
            },
        )
        places, is_new = cursor.fetchone()
    if not places:
        return None
    return "exists" if is_new is None else "new" if is_new else "replaced"


def literal(embedding: np.ndarray, brackets: str = "{}") -> str:
    """The numbers as PostgreSQL's array or, in square brackets, as pgvector's vector; exact."""
    return brackets[0] + ",".join(map(repr, embedding.tolist())) + brackets[1]
