"""*idle*: what a cluster with nothing to do asks of the database, beside stock django-q2 in the same seconds.

Stock django-q2 keeps its connections here, as a project may tell Django; by default it opens a new one each time.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg2
from django.db import connection

from tests.bench import daemons
from tests.bench.figures import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.stage import Stage

SECONDS, QUICK_SECONDS = 10.0, 4.0
SETTLES_SECONDS = 6.0

FIGURES = (
    Figure(
        name="idle, transactions",
        words="transactions a second of a cluster of 2 workers with nothing to do",
        of="idle.transactions",
        unit="a second",
        at_most=2,
    ),
    Figure(
        name="idle, connections",
        words="new connections a second of the same",
        of="idle.connections",
        unit="a second",
        at_most=0,
    ),
    Figure(
        name="idle, transactions, stock",
        words="its transactions ÷ those of stock django-q2 in the same seconds",
        of="idle.transactions",
        against="idle.stock_transactions",
    ),
)

ASKED = """
SELECT xact_commit + xact_rollback, sessions FROM pg_stat_database WHERE datname = %s
"""


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    # From a database beside both, so that the asking is in no count.
    with stage.database("asking") as asking, stage.cluster(workers=2), daemons.stock(stage) as stock:
        stock.helper.close()
        time.sleep(SETTLES_SECONDS)
        line = psycopg2.connect(asking)
        line.autocommit = True
        connection.close()  # our own session with it: it would be counted
        try:
            yield {"idle": lambda: _idle(stage, line)}
        finally:
            line.close()


def _idle(stage: Stage, line: Any) -> dict[str, float]:
    seconds = QUICK_SECONDS if stage.quick else SECONDS
    names = {"": stage.owned.name, "stock_": stage.name_of("stock")}
    before = {of: _counted(line, name) for of, name in names.items()}
    time.sleep(seconds)  # idleness is what is measured
    found = {}
    for of, name in names.items():
        transactions, sessions = _counted(line, name)
        found[f"{of}transactions"] = (transactions - before[of][0]) / seconds
        found[f"{of}connections"] = (sessions - before[of][1]) / seconds
    return found


def _counted(line: Any, name: str) -> tuple[int, int]:
    with line.cursor() as cursor:
        cursor.execute(ASKED, [name])
        return cursor.fetchone()
