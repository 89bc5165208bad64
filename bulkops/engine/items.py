"""One item: process it, and commit its effect, outcome, counters and cursor together under the fence.

A transactional operation runs inside the item's transaction, with the fenced statement last; where it has sent nothing,
that statement is the transaction. Any other runs outside all transactions, then its outcome is committed alone. A
failing item is rolled back and its failure committed by the same statement, so that the good path needs no savepoint.
Where an item must not be begun twice (`in_doubt = "hold"`), that it begins is committed first.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS, Error, connections, transaction

from bulkops import storable, uploaded_files
from bulkops.conf import conf
from bulkops.engine import hand
from bulkops.engine.faults import Fault, classify, describe, is_lost
from bulkops.engine.item_transaction import LEFT_OPEN, ItemTransaction, abandon
from bulkops.engine.results import failure, success
from bulkops.engine.statements import ItemStatements, Result
from bulkops.exceptions import BulkopsError, FenceLost, ItemTransactionBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkops.engine.statements import Try
    from bulkops.operation import Context, Operation

logger = logging.getLogger("bulkops.items")

PATIENCE_SECONDS = 30.0
"""How long a worker tries to record what it has done elsewhere while the database is away."""
ASK_AGAIN_SECONDS = 0.5


class DatabaseAway(BulkopsError):
    """The database connection was lost; the slice is left, the item will be run again."""

    code = "database-away"


class HookFailed(BulkopsError):
    """An on-commit hook of the operation failed after its item was committed."""

    code = "hook-failed"

    def __init__(self, text: str, *, stop: bool) -> None:
        super().__init__(text)
        self.stop = stop


class LateResult(BulkopsError):
    """An item outside a transaction ended after its chunk had been taken over."""

    code = "late-result"

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


class ItemRunner:
    """Runs items of one operation with its cleaned parameters."""

    def __init__(
        self, operation: Operation, params: dict[str, Any], draining: Callable[[], bool], shard: int = 0
    ) -> None:
        self.operation = operation
        self.params = params
        self.draining = draining
        self.statements = ItemStatements(shard)
        self._database = connections[DEFAULT_DB_ALIAS]  # the proxy would cost an item more than all else in here

    def run(self, item: Any, context: Context, one: Try) -> bool:
        """Process and commit one try of an item; return whether the job asks to stop.

        Raises FenceLost, LateResult (not transactional only), DatabaseAway, or HookFailed (committed all the same).
        """
        once = self._in_transaction if self.operation.transactional else self._outside
        for attempt in range(1, conf().transient_attempts + 1):
            driver = self._ready()
            try:
                return once(item, context, one)
            except (FenceLost, LateResult, HookFailed):
                raise
            except BaseException as error:  # an item's code may raise anything, SystemExit too
                fault = classify(error, driver)
                if fault is Fault.CONNECTION:
                    raise DatabaseAway from error
                if fault is Fault.STATEMENTS_GONE:
                    self.statements.forget()
                if fault is Fault.ITEM or attempt == conf().transient_attempts:
                    return self._record(failure(self.operation, error, context.attempt), one)
        raise AssertionError("unreachable")

    def _ready(self) -> Any:
        """A connection outside any transaction, with the statements prepared, whatever the last item left behind."""
        database = self._database
        driver = database.connection
        if driver is not None and (driver.closed or database.in_atomic_block or database.closed_in_transaction):
            abandon(database)
        try:
            self.statements.prepare()
        except Error as error:
            raise DatabaseAway from error
        return database.connection

    def _in_transaction(self, item: Any, context: Context, one: Try) -> bool:
        committed = False
        stop = False

        def mark() -> None:
            nonlocal committed
            committed = True

        try:
            with transaction.atomic():
                transaction.on_commit(mark)  # runs first of all hooks: tells a failing hook from a failing COMMIT
                watched = ItemTransaction(self._database)
                with self._database.execute_wrapper(watched.watch):
                    # In here too: what is lazy, or has a text of its own, may ask the database only now.
                    result = success(self._process(item, context))
                watched.check()
                watched.spare_if_empty()
                stop = self.statements.record(one, result)
        except BaseException as error:  # of the item, or of a hook that the author gave to `on_commit`
            if not committed:
                raise
            raise HookFailed(describe(error), stop=stop) from error
        return stop

    def _outside(self, item: Any, context: Context, one: Try) -> bool:
        if self.operation.in_doubt == "hold":
            self.statements.begin(one)
        database = self._database
        driver = database.connection
        try:
            result = success(self._process(item, context))
        except BaseException as error:  # an item's code may raise anything
            if is_lost(error, driver):
                raise DatabaseAway from error
            result = failure(self.operation, error, context.attempt)
        # One that the operation has closed itself leaves nothing open, and is not opened here: that is for patience.
        if database.connection is not None and (not database.get_autocommit() or database.in_atomic_block):
            abandon(database)
            result = failure(self.operation, ItemTransactionBroken(LEFT_OPEN), context.attempt)
        try:
            return self._record_patiently(result, one)
        except FenceLost:
            raise LateResult(result) from None

    def _record_patiently(self, result: Result, one: Try) -> bool:
        """Record what was done elsewhere, also when the database is away for some moments: it is done all the same.

        Giving up too early would have the item repeated, or ask a person. A commit whose answer was lost finds its
        own fence moved, which `late_results` sees.
        """
        patience_ends = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._record(result, one)
            except DatabaseAway:
                if self.draining() or time.monotonic() > patience_ends:
                    raise
                hand.put_down()  # the author's code has ended; this wait is not to be taken for an item that overstays
                time.sleep(ASK_AGAIN_SECONDS)

    def _process(self, item: Any, context: Context) -> Any:
        cleaned = uploaded_files.clean_item(self.operation, item, context.upload)
        return self.operation.process(cleaned, self.params, context)

    def _record(self, result: Result, one: Try) -> bool:
        """Commit an outcome alone: of a failure, or of work done outside. The item is not run again for it."""
        for attempt in range(1, conf().transient_attempts + 1):
            driver = self._ready()
            try:
                return self.statements.record(one, result)
            except FenceLost:
                raise
            except Exception as error:  # unstorable, for whatever reason: constants are recorded instead
                fault = classify(error, driver)
                if fault is Fault.CONNECTION:
                    raise DatabaseAway from error
                if fault is Fault.ITEM or attempt == conf().transient_attempts:
                    logger.exception("event=outcome_unstorable; recording constants instead")
                    break
                self.statements.forget()
        bare = Result(
            state=result.state,
            error_code="error",
            message=storable.UNREADABLE,
            due_in_seconds=result.due_in_seconds,
        )
        return self.statements.record(one, bare)
