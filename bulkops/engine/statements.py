"""The fenced statements of an item, prepared on the driver's own connection.

Round trips are what an item pays for, so this SQL is written by hand: outcome, counters, cursor and fence in one
statement, measured at 1.07 of a bare single-row UPDATE, where the ORM with an outcome row is at 0.21. Deferring an
item is `advance` with the state “deferred”. A statement is never sent together with COMMIT: that would commit the
writes of an item whose fence is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.db import connection

from bulkops.exceptions import FenceLost
from bulkops.states import OutcomeState

_COUNTS = """succeeded = succeeded + (${state} = 'succeeded')::int,
        skipped = skipped + (${state} = 'skipped')::int,
        failed = failed + (${state} = 'failed')::int,
        in_doubt = in_doubt + (${state} = 'in_doubt')::int"""

# chunk, epoch, cursor, position, state, attempt, error code, message, result, seconds until due
_ADVANCE = f"""
PREPARE bulkops_advance (bigint, int, int, int, text, int, text, text, jsonb, float8) AS
WITH moved AS (
    UPDATE bulkops_chunk SET
        cursor = cursor + 1,
        {_COUNTS.replace("${state}", "$5")},
        deferred = deferred + ($5 = 'deferred')::int,
        due = CASE WHEN $5 = 'deferred' THEN LEAST(due, clock_timestamp() + $10 * interval '1 second') ELSE due END,
        finished = (cursor + 1 = size AND deferred = 0 AND $5 <> 'deferred'),
        in_hand = NULL,
        in_hand_attempt = NULL
    WHERE id = $1 AND epoch = $2 AND cursor = $3
    RETURNING job_id, stop
)
INSERT INTO bulkops_outcome (job_id, position, state, attempt, error_code, message, result, finished_at, due)
SELECT job_id, $4, $5, $6, $7, $8, $9, clock_timestamp(),
    CASE WHEN $5 = 'deferred' THEN clock_timestamp() + $10 * interval '1 second' END
FROM moved
RETURNING (SELECT stop FROM moved)
"""  # noqa: S608 - made of constants

# chunk, epoch, position, attempt before, state, attempt, error code, message, result, seconds until due
_RESOLVE = f"""
PREPARE bulkops_resolve (bigint, int, int, int, text, int, text, text, jsonb, float8) AS
WITH moved AS (
    UPDATE bulkops_chunk c SET
        {_COUNTS.replace("${state}", "$5")},
        deferred = deferred - ($5 <> 'deferred')::int,
        finished = (cursor = size AND deferred = 1 AND $5 <> 'deferred'),
        in_hand = NULL,
        in_hand_attempt = NULL
    WHERE c.id = $1 AND c.epoch = $2 AND EXISTS (
        SELECT 1 FROM bulkops_outcome o
        WHERE o.job_id = c.job_id AND o.position = $3 AND o.state = 'deferred' AND o.attempt = $4)
    RETURNING job_id, stop
)
UPDATE bulkops_outcome o SET
    state = $5, attempt = $6, error_code = $7, message = $8, result = $9, finished_at = clock_timestamp(),
    due = CASE WHEN $5 = 'deferred' THEN clock_timestamp() + $10 * interval '1 second' END
FROM moved WHERE o.job_id = moved.job_id AND o.position = $3
RETURNING moved.stop
"""  # noqa: S608 - made of constants

# Sent before an effect that must not be repeated, and committed alone. chunk, epoch, position, attempt
_BEGIN = """
PREPARE bulkops_begin (bigint, int, int, int) AS
UPDATE bulkops_chunk SET in_hand = $3, in_hand_attempt = $4 WHERE id = $1 AND epoch = $2 RETURNING stop
"""
_TEXTS = {"bulkops_advance": _ADVANCE, "bulkops_resolve": _RESOLVE, "bulkops_begin": _BEGIN}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one try of an item, storable as it is."""

    state: OutcomeState
    error_code: str = ""
    message: str = ""
    result: str | None = None
    """JSON text."""
    due_in_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A chunk in hand: every commit is conditional on its epoch."""

    chunk_id: int
    epoch: int
    number: int
    start: int
    size: int
    cursor: int
    deferred: int
    payload: bytes | memoryview = field(default=b"", repr=False)
    """Its items, as the manifest keeps them."""


@dataclass(frozen=True, kw_only=True)
class Try:
    """One try of an item of a claimed chunk: where its outcome goes."""

    claim: Claim
    position: int
    attempt: int = 1
    """More than 1 for an item that was deferred and has come round."""


class ItemStatements:
    """Sends the statements on whatever driver connection Django has at the moment, preparing them once on each."""

    def __init__(self) -> None:
        self._prepared_on: Any = None
        self.recorded: OutcomeState | None = None
        """What was recorded last."""

    def prepare(self) -> None:
        """Prepare on the present connection unless done. Call outside an item's transaction: PREPARE can fail it."""
        connection.ensure_connection()
        driver = connection.connection
        if self._prepared_on is driver:
            return
        with connection.wrap_database_errors, driver.cursor() as cursor:
            cursor.execute("SELECT name FROM pg_prepared_statements WHERE name LIKE 'bulkops\\_%'")
            known = {name for (name,) in cursor.fetchall()}
            for name, text in _TEXTS.items():
                if name not in known:
                    cursor.execute(text)
        self._prepared_on = driver

    def forget(self) -> None:
        """Prepare anew next time: somebody deallocated the statements."""
        self._prepared_on = None

    def begin(self, one: Try) -> None:
        """Note on the chunk, and commit, that the item's effect may happen from now on. Raises FenceLost."""
        self._execute(
            "EXECUTE bulkops_begin (%s, %s, %s, %s)",
            (one.claim.chunk_id, one.claim.epoch, one.position, one.attempt),
        )

    def record(self, one: Try, result: Result) -> bool:
        """Record what came of the try, moving the cursor on at the first; return whether the job asks to stop.

        In the caller's transaction, or committed alone where there is none. Raises FenceLost.
        """
        claim = one.claim
        self.recorded = result.state
        if one.attempt == 1:
            return self._execute(
                "EXECUTE bulkops_advance (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (claim.chunk_id, claim.epoch, one.position - claim.start, one.position, *_columns(one.attempt, result)),
            )
        return self._execute(
            "EXECUTE bulkops_resolve (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (claim.chunk_id, claim.epoch, one.position, one.attempt - 1, *_columns(one.attempt, result)),
        )

    @staticmethod
    def _execute(sql: str, values: tuple[Any, ...]) -> bool:
        with connection.wrap_database_errors, connection.connection.cursor() as cursor:
            cursor.execute(sql, values)
            row = cursor.fetchone()
        if row is None:
            raise FenceLost
        return row[0]


def _columns(attempt: int, result: Result) -> tuple[Any, ...]:
    return (
        result.state.value,
        attempt,
        result.error_code,
        result.message,
        result.result,
        result.due_in_seconds,
    )
