"""A second session on the test database, with a transaction of its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def elsewhere(using: Any = connection) -> Iterator[Any]:
    """A cursor of another session in an open transaction, rolled back at the end."""
    other = using.copy()
    other.set_autocommit(False)
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.rollback()
        other.close()
