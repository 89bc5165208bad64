"""Watches that an item's transaction stays the one transaction that it should commit in.

An operation that commits, rolls back or closes the connection by itself would put its writes outside the fence. It
is found out on the client, without a round trip: each statement it sends through Django is seen, and before the
commit the driver's own state is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection
from psycopg2 import extensions

from bulkops.engine.faults import is_broken
from bulkops.exceptions import ItemTransactionBroken

if TYPE_CHECKING:
    from collections.abc import Callable

CLOSED = "The operation closed the database connection inside the item's transaction."
ENDED = "The operation ended the item's transaction by itself; what it had written until then may be kept."
LEFT_OPEN = "The operation left a transaction open."
ABORTED = "The operation went on after a database error; nothing of this item could be committed."


def abandon(database: Any) -> None:
    """Close the connection, also inside a block that was never left, where Django would keep it, closed, for good."""
    database.close()
    if database.in_atomic_block:
        database.in_atomic_block, database.connection = False, None


class ItemTransaction:
    """One item's transaction on the default connection; use `watch` as an execute wrapper."""

    def __init__(self, database: Any = connection) -> None:
        self._database = database
        self.driver = database.connection
        self._blocks = len(database.savepoint_ids)
        self._begun = 0
        self._ended = False

    def watch(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """See each statement just before it is sent."""
        self._look()
        return execute(sql, params, many, context)

    def _look(self) -> None:
        driver = self._database.connection
        if driver is not self.driver or driver is None or driver.closed:
            return
        if driver.status == extensions.STATUS_READY:
            self._begun += 1  # the driver is about to send BEGIN
        elif driver.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE:
            self._ended = True  # it believes in a transaction that the server has ended: a COMMIT as text

    def spare_if_empty(self) -> None:
        """After `check`: where nothing was sent, let the one statement that follows be a transaction by itself.

        BEGIN and COMMIT would be two more round trips for it. The driver sends nothing for this, and nothing at the
        commit that Django asks it for afterwards.
        """
        if self.driver.status == extensions.STATUS_READY and not self.driver.closed:
            self.driver.autocommit = True

    def check(self) -> None:
        """Raises ItemTransactionBroken unless everything the item wrote is in the open transaction."""
        driver = self._database.connection
        if driver is not self.driver or driver is None or (driver.closed and not is_broken(driver)):
            raise ItemTransactionBroken(CLOSED)
        if driver.closed:
            return
        status = driver.info.transaction_status
        idle = status == extensions.TRANSACTION_STATUS_IDLE
        if self._ended or self._begun > 1 or (idle and (self._begun or driver.status != extensions.STATUS_READY)):
            raise ItemTransactionBroken(ENDED)
        if len(self._database.savepoint_ids) != self._blocks:
            # Django would take the end of the item's own block for that of this one, and commit nothing.
            raise ItemTransactionBroken(LEFT_OPEN)
        if self._database.needs_rollback or status == extensions.TRANSACTION_STATUS_INERROR:
            raise ItemTransactionBroken(ABORTED)
