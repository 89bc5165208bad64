"""The fenced statements of an item, prepared on the driver's own connection.

Round trips are what an item pays for, so this SQL is written by hand: outcome, counters, cursor and fence in one
statement, measured at 1.07 of a bare single-row UPDATE, where the ORM with an outcome row is at 0.21. Deferring an
item is `advance` with the state “deferred”. For a failure both statements have one more part, which counts it in its
group; what does not fail pays nothing for that. A statement is never sent together with COMMIT: that would commit the
writes of an item whose fence is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from bulkops import failure_groups
from bulkops.exceptions import FenceLost
from bulkops.failure_groups import Groups
from bulkops.states import OutcomeState

_COUNTS = """succeeded = succeeded + (${state} = 'succeeded')::int,
        skipped = skipped + (${state} = 'skipped')::int,
        failed = failed + (${state} = 'failed')::int,
        in_doubt = in_doubt + (${state} = 'in_doubt')::int"""

# chunk, epoch, cursor, position, state, attempt, error code, message, result, seconds until due
_ADVANCE = f"""
PREPARE {{name}} (bigint, int, int, int, text, int, text, text, jsonb, float8{{types}}) AS
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
){{counted}}
INSERT INTO bulkops_outcome (job_id, position, state, attempt, error_code, message, result, finished_at, due{{column}})
SELECT job_id, $4, $5, $6, $7, $8, $9, clock_timestamp(),
    CASE WHEN $5 = 'deferred' THEN clock_timestamp() + $10 * interval '1 second' END{{value}}
FROM moved
RETURNING (SELECT stop FROM moved)
"""  # noqa: S608 - made of constants

# What most items come to, at their first try: with fewer parameters and constants for the rest, it takes four fifths of
# the time of `advance` where commits do not wait for the disk. chunk, epoch, cursor, result
_SUCCEED = """
PREPARE bulkops_succeed (bigint, int, int, jsonb) AS
WITH moved AS (
    UPDATE bulkops_chunk SET
        cursor = cursor + 1,
        succeeded = succeeded + 1,
        finished = (cursor + 1 = size AND deferred = 0),
        in_hand = NULL,
        in_hand_attempt = NULL
    WHERE id = $1 AND epoch = $2 AND cursor = $3
    RETURNING job_id, start, stop
)
INSERT INTO bulkops_outcome (job_id, position, state, attempt, error_code, message, result, finished_at)
SELECT job_id, start + $3, 'succeeded', 1, '', '', $4, clock_timestamp()
FROM moved
RETURNING (SELECT stop FROM moved)
"""

# chunk, epoch, position, attempt before, state, attempt, error code, message, result, seconds until due
_RESOLVE = f"""
PREPARE {{name}} (bigint, int, int, int, text, int, text, text, jsonb, float8{{types}}) AS
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
){{counted}}
UPDATE bulkops_outcome o SET
    state = $5, attempt = $6, error_code = $7, message = $8, result = $9, finished_at = clock_timestamp(),
    due = CASE WHEN $5 = 'deferred' THEN clock_timestamp() + $10 * interval '1 second' END{{assigned}}
FROM moved WHERE o.job_id = moved.job_id AND o.position = $3
RETURNING moved.stop
"""  # noqa: S608 - made of constants


def _counting(position: str) -> dict[str, str]:
    """The part that only failures have, with its parameters: fingerprint, shard, the group's error code and words."""
    counted = failure_groups.counting(
        fingerprint="$11", shard="$12", error_code="$13", words="$14", position=position, source="moved"
    )
    return {
        "types": ", text, int, text, text",
        "counted": f", counted AS ({counted})",
        "column": ", fingerprint",
        "value": ", $11",
        "assigned": ", fingerprint = $11",
    }


# Sent before an effect that must not be repeated, and committed alone. chunk, epoch, position, attempt
_BEGIN = """
PREPARE bulkops_begin (bigint, int, int, int) AS
UPDATE bulkops_chunk SET in_hand = $3, in_hand_attempt = $4 WHERE id = $1 AND epoch = $2 RETURNING stop
"""
_PLAIN = dict.fromkeys(("types", "counted", "column", "value", "assigned"), "")
_TEXTS = {
    "bulkops_succeed": _SUCCEED,
    "bulkops_advance": _ADVANCE.format(name="bulkops_advance", **_PLAIN),
    "bulkops_advance_failed": _ADVANCE.format(name="bulkops_advance_failed", **_counting("$4")),
    "bulkops_resolve": _RESOLVE.format(name="bulkops_resolve", **_PLAIN),
    "bulkops_resolve_failed": _RESOLVE.format(name="bulkops_resolve_failed", **_counting("$3")),
    "bulkops_begin": _BEGIN,
}
_PARAMETERS = {name: text[text.index("(") : text.index(")")].count(",") + 1 for name, text in _TEXTS.items()}
_EXECUTE = {name: f"EXECUTE {name} ({', '.join(['%s'] * number)})" for name, number in _PARAMETERS.items()}


class Result(NamedTuple):
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


class Try(NamedTuple):
    """One try of an item of a claimed chunk: where its outcome goes."""

    claim: Claim
    position: int
    attempt: int = 1
    """More than 1 for an item that was deferred and has come round."""


class ItemStatements:
    """Sends the statements on whatever driver connection Django has at the moment, preparing them once on each.

    For one job; `shard` is that in which its failures are counted.
    """

    def __init__(self, shard: int = 0) -> None:
        self._shard = shard
        self._groups = Groups()
        self._database = connections[DEFAULT_DB_ALIAS]  # the proxy would be looked through several times an item
        self._prepared_on: Any = None
        self._cursor: Any = None
        self.recorded: OutcomeState | None = None
        """What was recorded last."""

    def prepare(self) -> None:
        """Prepare on the present connection unless done. Call outside an item's transaction: PREPARE can fail it."""
        if self._prepared_on is not None and self._prepared_on is self._database.connection:
            return
        self._database.ensure_connection()
        driver = self._database.connection
        with self._database.wrap_database_errors:
            cursor = driver.cursor()
            cursor.execute("SELECT name FROM pg_prepared_statements WHERE name LIKE 'bulkops\\_%'")
            known = {name for (name,) in cursor.fetchall()}
            for name, text in _TEXTS.items():
                if name not in known:
                    cursor.execute(text)
        self._prepared_on, self._cursor = driver, cursor

    def forget(self) -> None:
        """Prepare anew next time: somebody deallocated the statements."""
        self._prepared_on = None

    def begin(self, one: Try) -> None:
        """Note on the chunk, and commit, that the item's effect may happen from now on. Raises FenceLost."""
        self._execute(_EXECUTE["bulkops_begin"], (one.claim.chunk_id, one.claim.epoch, one.position, one.attempt))

    def record(self, one: Try, result: Result) -> bool:
        """Record what came of the try, moving the cursor on at the first; return whether the job asks to stop.

        In the caller's transaction, or committed alone where there is none. Raises FenceLost.
        """
        claim = one.claim
        self.recorded = result.state
        # A success has words of its own where its result could not be stored.
        if one.attempt == 1 and result.state == OutcomeState.SUCCEEDED and not result.message:
            return self._execute(
                _EXECUTE["bulkops_succeed"], (claim.chunk_id, claim.epoch, one.position - claim.start, result.result)
            )
        if one.attempt == 1:
            name, place = "bulkops_advance", (claim.chunk_id, claim.epoch, one.position - claim.start, one.position)
        else:
            name, place = "bulkops_resolve", (claim.chunk_id, claim.epoch, one.position, one.attempt - 1)
        values: tuple[Any, ...] = (*place, *_columns(one.attempt, result))
        if result.state == OutcomeState.FAILED:
            alike = self._groups.place(result.error_code, result.message, claim.chunk_id)
            name, values = f"{name}_failed", (*values, alike.fingerprint, self._shard, alike.error_code, alike.words)
        return self._execute(_EXECUTE[name], values)

    def _execute(self, sql: str, values: tuple[Any, ...]) -> bool:
        database = self._database
        with database.wrap_database_errors:
            # Django may have opened another connection since, as after a health check that failed. There the statement
            # is unknown, and the item is run again; the kept cursor, which is closed, would blame the item.
            cursor = self._cursor if self._prepared_on is database.connection else database.connection.cursor()
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
