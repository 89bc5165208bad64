"""Whether commits wait for the disk: those of a slice's items need not, where their operation says so.

Two statements a slice, none where commits are strict. All else waits as ever: a slice's end and a job's end are
commits of their own after it, and put on disk whatever was committed before them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import Error, connection

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def of_items(durability: str) -> Iterator[None]:
    """While items are processed. A connection that is opened anew in between is strict, and stays as it is."""
    if durability != "relaxed":
        yield
        return
    _send("SET synchronous_commit = off")
    driver = connection.connection
    try:
        yield
    finally:
        if connection.connection is driver and not driver.closed:
            try:
                _send("RESET synchronous_commit")
            except Error:
                connection.close()  # the next one is strict


def _send(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
