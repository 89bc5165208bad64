"""The references in Python: the item's statement alone on the driver's cursor, and an operation's own code alone.

Each is told to begin and works until it is interrupted (SIGINT).
"""

from __future__ import annotations

import itertools
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "site"))


def until_interrupted(once: Callable[[int], Any]) -> bool:
    """Again and again, with the number of each time; the one that is begun when SIGINT comes is ended.

    Raised in the middle of one, KeyboardInterrupt can leave Django's connection in a transaction that nobody ends.
    """
    told: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    try:
        for number in itertools.count():
            if told:
                return True
            once(number)
    finally:
        signal.signal(signal.SIGINT, before)
    raise AssertionError("unreachable")


def statement(*, first: int, size: int, epoch: int) -> bool:
    """The item's statement, prepared, on the driver's own cursor, each time a commit of its own."""
    from django.db import connection

    from bulkops.engine.statements import ItemStatements
    from tests.bench.statement import NAME, TYPES

    connection.close()  # an interrupted one may be in the middle of anything
    ItemStatements().prepare()
    cursor = connection.connection.cursor()
    sql = f"EXECUTE {NAME} ({', '.join(['%s'] * len(TYPES))})"

    def once(item: int) -> None:
        cursor.execute(sql, (first + item // size, epoch, item % size, None))
        assert cursor.fetchone() == (False,)

    return until_interrupted(once)


def own_code(*, operation: str, items: list[Any]) -> bool:
    """What the operation's author wrote, in `atomic()`, and nothing else."""
    from django.db import connection, transaction

    from bulkops import registry

    connection.close()
    found: Any = registry.get(operation)

    def once(number: int) -> None:
        with transaction.atomic():
            found.process(items[number % len(items)], {}, None)

    return until_interrupted(once)


if __name__ == "__main__":
    import django

    from tests.bench.answering import serve

    django.setup()
    serve({"statement": statement, "own_code": own_code})
