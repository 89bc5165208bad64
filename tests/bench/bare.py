"""The references in Python: the item's statement alone on the driver's cursor, and an operation's own code alone."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "site"))


def rate(once: Callable[[int], Any], warm_seconds: float, window_seconds: float) -> float:
    """How often a second, within the window after the warm-up."""
    numbers = itertools.count()
    opens = time.perf_counter() + warm_seconds
    while time.perf_counter() < opens:
        once(next(numbers))
    began, before = time.perf_counter(), next(numbers)
    once(before)
    closes = began + window_seconds
    while time.perf_counter() < closes:
        once(next(numbers))
    return (next(numbers) - before) / (time.perf_counter() - began)


def statement(*, first: int, size: int, epoch: int, warm_seconds: float, window_seconds: float) -> float:
    """The item's statement, prepared, on the driver's own cursor, each time a commit of its own."""
    from django.db import connection

    from bulkops.engine.statements import ItemStatements
    from tests.bench.statement import NAME, TYPES

    ItemStatements().prepare()
    cursor = connection.connection.cursor()
    sql = f"EXECUTE {NAME} ({', '.join(['%s'] * len(TYPES))})"

    def once(item: int) -> None:
        cursor.execute(sql, (first + item // size, epoch, item % size, None))
        assert cursor.fetchone() == (False,)

    return rate(once, warm_seconds, window_seconds)


def own_code(*, operation: str, items: list[Any], warm_seconds: float, window_seconds: float) -> float:
    """What the operation's author wrote, in `atomic()`, and nothing else."""
    from django.db import transaction

    from bulkops import registry

    found: Any = registry.get(operation)

    def once(number: int) -> None:
        with transaction.atomic():
            found.process(items[number % len(items)], {}, None)

    return rate(once, warm_seconds, window_seconds)


if __name__ == "__main__":
    import django

    from tests.bench.answering import serve

    django.setup()
    serve({"statement": statement, "own_code": own_code})
