"""What an operation would find if it were started now: how many items, and the first of them.

Only reads, in a transaction that is rolled back and whose statements the database itself ends after `count_seconds`: a
person waits for the answer, and a wrong or late one is worth less than none. So whatever an author's code raises here
means no more than that nobody can tell; the job would say it in words.
"""

from __future__ import annotations

import inspect
import itertools
import logging
from collections.abc import Collection
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import Error, connection, transaction
from django.db.models import QuerySet

from bulkops import manifests, sources
from bulkops.conf import conf
from bulkops.operation import Operation
from bulkops.outage import is_away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger("bulkops.lookahead")

_TOO_LONG = {"57014", "55P03"}
"""A statement that was ended for its time, or for that of its waiting."""


@dataclass(frozen=True)
class Ahead:
    """What could be told."""

    total: int | None = None
    """None where that would take too long, or only collecting can tell."""
    head: list[Any] = field(default_factory=list)
    """The first items as they would be stored, at most `preview_items`; empty also where nobody can tell."""


def look(operation: Operation, params: dict[str, Any]) -> Ahead:
    """Ask what the operation would find with these cleaned parameters. Raises only where the database is away.

    `items` is called unless it is a generator, which knows no count, or the author counts otherwise.
    """
    if type(operation).count_items is not Operation.count_items:
        return Ahead(_whole(_asked(operation, lambda: operation.count_items(params))))
    if inspect.isgeneratorfunction(operation.items):
        return Ahead()
    found = _asked(operation, lambda: operation.items(params))
    if not isinstance(found, QuerySet | Collection):
        return Ahead()
    total = _asked(operation, lambda: found.count() if isinstance(found, QuerySet) else len(found))
    if not total:
        return Ahead(total)
    first = _asked(operation, lambda: _stored(itertools.islice(sources.read(found), conf().preview_items)))
    return Ahead(total, first or [])


def _stored(items: Iterator[Any]) -> list[Any]:
    return [item for chunk in manifests.pack(list(items)) for item in manifests.decode(chunk.payload)]


def _whole(told: Any) -> int | None:
    return told if isinstance(told, int) and not isinstance(told, bool) and told >= 0 else None


def _asked(operation: Operation, question: Callable[[], Any]) -> Any:
    """The answer; None where the author's code fails or the database takes too long."""
    try:
        with _reading():
            return question()
    except Exception as error:  # an author's `items` may raise anything
        if isinstance(error, Error) and is_away(error) and getattr(error.__cause__, "pgcode", None) not in _TOO_LONG:
            raise
        logger.info("operation=%s event=count_unknown %s: %s", operation.name, type(error).__name__, error)
        return None


@contextmanager
def _reading() -> Iterator[None]:
    """A transaction, or a host's savepoint, in which each statement is limited; rolled back, so its limits go too.

    By SQL, since Django has no word for limits that end with the transaction; waiting for a lock counts as well.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true), set_config('transaction_read_only', 'on', true)",
                [f"{max(1, int(conf().count_seconds * 1000))}ms"],
            )
        yield
        transaction.set_rollback(True)
