"""An item's transaction that is never committed: of a dry run, which keeps nothing.

The database itself refuses a COMMIT, by whatever way it comes: a turn of a job that does not exist is inserted first,
and its foreign key, which is deferred, fails. A ROLLBACK takes that away again, so each statement sent through Django
is looked at before it goes: one that ends the transaction is refused, and so is any after the transaction was ended
behind Django's back. What is left is an item that rolls back and writes on a cursor of the driver alone.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from django.db import connection
from psycopg2 import extensions

from bulkops.engine.faults import chain, sqlstate
from bulkops.engine.item_transaction import ItemTransaction
from bulkops.exceptions import BulkopsError, ItemTransactionBroken
from bulkops.models import Turn

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

LOCK_SECONDS = 1.0
"""How long a statement waits for a lock."""
ENDED = (
    "The operation ends the item's transaction by itself, which a dry run refuses; a job may keep what it had written."
)
LOCKED = f"It waits for a row that another session has locked, such as an item of a running job. A dry run waits \
{LOCK_SECONDS:g} s for it."
CHECKED_EARLY = "It has all constraints checked at once (SET CONSTRAINTS ALL IMMEDIATE), which a dry run cannot."

_NEARLY = 0.9
_LOCK_NOT_AVAILABLE, _CANCELLED, _FOREIGN_KEY = "55P03", "57014", "23503"
_QUOTED = re.compile(
    r"""'(?:[^'\\]|''|\\.)*' | "(?:[^"]|"")*" | (\$\w*\$).*?\1 | --[^\n]* | /\*.*?\*/""", re.DOTALL | re.VERBOSE
)
_ENDS = re.compile(
    r"(?:^|;)\s*(?:BEGIN|COMMIT|END|ABORT|START\s+TRANSACTION|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b))\b",
    re.IGNORECASE,
)
_SAVEPOINT = re.compile(r"\s*(?:SAVEPOINT|RELEASE|ROLLBACK\s+TO)\b", re.IGNORECASE)


class Unfinished(BulkopsError):
    """The dry run cannot tell what would become of the item."""

    code = "not-tried"


def ends_a_transaction(sql: str) -> bool:
    """Whether one of the statements begins, commits or rolls back a transaction; savepoints do not."""
    return _ENDS.search(_QUOTED.sub(" ", sql)) is not None


class UncommittedTransaction(ItemTransaction):
    """One item's transaction within a dry run's; use `watch` as an execute wrapper.

    `deadline` is by the monotonic clock; the caller has set the statements' own limits.
    """

    def __init__(self, job_id: UUID, deadline: float) -> None:
        super().__init__()
        self.deadline = deadline
        self.unfinished: Unfinished | None = None
        """Why nobody can tell the outcome, whatever the operation made of it."""
        self._refused = False
        self._seen = False
        self._began = time.monotonic()
        (self._refusal,) = Turn.objects.bulk_create([Turn(job_id=job_id, number=0)])

    def watch(self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
        """See each statement just before it is sent, and refuse what would end the transaction or comes too late."""
        text = _text_of(sql)
        if ends_a_transaction(text):
            self._refused = True
        self._look()
        if self.is_broken():
            raise ItemTransactionBroken(ENDED)
        began = time.monotonic()
        if began >= self.deadline and not _SAVEPOINT.match(text):
            raise self._too_late()
        try:
            return execute(sql, params, many, context)
        except Exception as error:  # noted and raised again, whatever it is
            self._seen = True
            self._note(error, began)
            raise

    def is_broken(self) -> bool:
        """Whether the item ended its transaction, or tried to."""
        driver = self.driver
        if driver is None or driver.closed:
            return self._refused
        idle = driver.info.transaction_status == extensions.TRANSACTION_STATUS_IDLE
        return self._refused or self._ended or bool(self._begun) or idle

    def _note(self, error: BaseException, since: float) -> None:
        """Note an error that a dry run's own limits caused: a job has none, and would have waited."""
        codes = {sqlstate(one) for one in chain(error)}
        now = time.monotonic()
        if _LOCK_NOT_AVAILABLE in codes and now - since >= _NEARLY * LOCK_SECONDS:
            self.unfinished = Unfinished(LOCKED)
        elif _CANCELLED in codes and now >= self.deadline - LOCK_SECONDS * (1 - _NEARLY):
            self._too_late()
        elif _FOREIGN_KEY in codes and not self.is_broken() and any(map(_is_of_the_refusal, chain(error))):
            self.unfinished = Unfinished(CHECKED_EARLY)

    def judge(self, error: BaseException) -> None:
        """Raise, in place of what came out of the item, that it is unfinished or broke its transaction; else return.

        Called within the transaction: leaving it hides what became of it.
        """
        if not self._seen:  # nothing but COPY and a server-side cursor's pages pass by `watch`
            self._note(error, self._began)
        if self.unfinished is not None:
            raise self.unfinished from error
        if self.is_broken() and not isinstance(error, ItemTransactionBroken):
            raise ItemTransactionBroken(ENDED) from error

    def _too_late(self) -> Unfinished:
        self.unfinished = Unfinished("The time that a dry run may take was over before it ended.")
        return self.unfinished

    def check(self) -> None:
        """Raises ItemTransactionBroken as in a job, and the IntegrityError that a job would get from its COMMIT."""
        if self.is_broken():
            raise ItemTransactionBroken(ENDED)
        super().check()
        self._refusal.delete()
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def _text_of(sql: Any) -> str:
    """Django's own statements are text; raw ones may be bytes, or composed by psycopg2."""
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    return sql if isinstance(sql, str) else str(sql.as_string(connection.connection))


def _is_of_the_refusal(error: BaseException) -> bool:
    return getattr(getattr(error, "diag", None), "table_name", None) == Turn._meta.db_table
