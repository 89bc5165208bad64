"""The least that a worker of a queue in PostgreSQL does: hear of a row, claim it, commit what came of it.

`prepare` makes its tables, `press` puts a row in, `milliseconds` tells how long the rows waited. Run as a program it is
the worker, until its input ends.
"""

from __future__ import annotations

import os
import select
import sys
import time

import psycopg2

CLAIM = """
WITH one AS MATERIALIZED (SELECT id FROM bench_asked WHERE NOT claimed LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE bench_asked SET claimed = true FROM one WHERE bench_asked.id = one.id RETURNING bench_asked.id
"""
TABLES = """
CREATE TABLE bench_asked (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, claimed bool NOT NULL DEFAULT false);
CREATE TABLE bench_pressed (id bigint PRIMARY KEY);
CREATE TABLE bench_done (id bigint PRIMARY KEY);
"""
WAITS = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(d.xmin) - pg_xact_commit_timestamp(p.xmin)) * 1000
FROM bench_done d JOIN bench_pressed p USING (id)
"""


class Presser:
    """Whoever puts rows in."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg2.connect(url)
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(TABLES)

    def press(self) -> None:
        """One row, and a word that it is there, in one transaction."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute("INSERT INTO bench_asked DEFAULT VALUES RETURNING id")
            cursor.execute("INSERT INTO bench_pressed VALUES (%s)", cursor.fetchone())
            cursor.execute("NOTIFY bench")

    def milliseconds(self) -> list[float]:
        """How long each row waited since the last call, all of them done."""
        while True:
            with self._connection, self._connection.cursor() as cursor:
                cursor.execute("SELECT (SELECT count(*) FROM bench_pressed) = (SELECT count(*) FROM bench_done)")
                (done,) = cursor.fetchone()
                if done:
                    cursor.execute(WAITS)
                    found = [float(value) for (value,) in cursor.fetchall()]
                    cursor.execute("TRUNCATE bench_pressed, bench_done, bench_asked")
                    return found
            time.sleep(0.02)

    def close(self) -> None:
        """Its tables go with the database."""
        self._connection.close()


def work() -> None:
    """Until the input ends."""
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute("LISTEN bench")
    while True:
        heard, _, _ = select.select([connection, sys.stdin], [], [])
        if sys.stdin in heard:
            return
        connection.poll()
        connection.notifies.clear()
        while True:
            cursor.execute(CLAIM)
            row = cursor.fetchone()
            if row is None:
                break
            cursor.execute("INSERT INTO bench_done VALUES (%s)", row)


if __name__ == "__main__":
    work()
