"""A query that is asked again and again, which the server plans once for a connection and not each time.

Only where a session is ours and outlives the request: not within a transaction, which a statement that is gone would
fail; not through a pooler in transaction mode, of which Django knows by `DISABLE_SERVER_SIDE_CURSORS`; not where each
request opens a connection of its own. A session that has lost the statement all the same, as through a pooler that
nobody told of, is asked in full, and so are all from then on.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from django.db import DatabaseError, connection

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger("bulkops.prepared")

_OF_THE_STATEMENT = {
    "26000",  # invalid_sql_statement_name: it is not there
    "42P05",  # duplicate_prepared_statement: somebody else's session
    "0A000",  # feature_not_supported: a migration has changed the type of a column
}


class PreparedQuery:
    """One query on the default database, with `%s` for each of its values."""

    def __init__(self, subject: str, sql: str, types: Sequence[str]) -> None:
        """`types`: PostgreSQL's, of the values."""
        self.sql = sql
        # By its text: another release's query on the same session is another statement.
        self.name = f"bulkops_{subject}_{hashlib.sha256(sql.encode()).hexdigest()[:12]}"
        places = tuple(f"${number}" for number in range(1, len(types) + 1))
        self._prepare = f"PREPARE {self.name} ({', '.join(types)}) AS {sql % places}"
        self._execute = f"EXECUTE {self.name} ({', '.join(['%s'] * len(types))})"
        self._prepared_on: WeakSet[Any] = WeakSet()
        self._is_lost = False

    def fetchone(self, values: Sequence[Any]) -> tuple[Any, ...] | None:
        """The first row. One round trip, and one more for a connection's first time."""
        with connection.cursor() as cursor:
            if self._is_lost or not _may_keep():
                cursor.execute(self.sql, values)
            else:
                self._send(cursor, values)
            return cursor.fetchone()

    def _send(self, cursor: Any, values: Sequence[Any]) -> None:
        driver = connection.connection
        try:
            if driver not in self._prepared_on:
                cursor.execute(self._prepare)
                self._prepared_on.add(driver)
            cursor.execute(self._execute, values)
        except DatabaseError as error:
            if getattr(error.__cause__, "pgcode", None) not in _OF_THE_STATEMENT:
                raise
            self._is_lost = True
            logger.warning("query=%s event=prepared_query_lost; a pooler needs DISABLE_SERVER_SIDE_CURSORS", self.name)
            cursor.execute(self.sql, values)


def _may_keep() -> bool:
    settings = connection.settings_dict
    return (
        settings["CONN_MAX_AGE"] != 0
        and not settings.get("DISABLE_SERVER_SIDE_CURSORS")
        and not connection.in_atomic_block
        and connection.get_autocommit()
    )
