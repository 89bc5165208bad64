"""What ends a transaction is told from what only mentions it, before it is sent."""

from __future__ import annotations

import pytest

from bulkops.engine.uncommitted import ends_a_transaction


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT",
        "commit;",
        "  Commit AND CHAIN",
        "END",
        "ROLLBACK",
        "rollback work",
        "ABORT",
        "BEGIN",
        "START TRANSACTION",
        "PREPARE TRANSACTION 'x'",
        "SELECT 1; COMMIT; SELECT 2",
        "/* a word */ COMMIT",
        "-- first\nCOMMIT",
        "SELECT 'it''s'; COMMIT",
        "SELECT $x$ a $x$; ROLLBACK",
    ],
)
def test_what_ends_a_transaction_is_seen(sql: str) -> None:
    assert ends_a_transaction(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "ROLLBACK TO SAVEPOINT x",
        "ROLLBACK WORK TO x",
        "rollback transaction to savepoint x",
        "SAVEPOINT x",
        "RELEASE SAVEPOINT x",
        "SELECT 'x; COMMIT'",
        "SELECT E'\\'; COMMIT'",
        'SELECT "; commit" FROM t',
        "SELECT $$; COMMIT;$$",
        "SELECT 1 -- ; COMMIT",
        "UPDATE t SET commit = 1",
        "PREPARE x AS SELECT 1",
        "SELECT CASE WHEN true THEN 1 END",
        "DO $$ BEGIN PERFORM 1; END $$",
    ],
)
def test_what_does_not_end_it_is_let_through(sql: str) -> None:
    assert not ends_a_transaction(sql)
