"""The item's own statement, taken from a session that the engine has prepared, for references that send it barely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import connection

from bulkops.engine.statements import ItemStatements
from bulkops.models import Chunk

if TYPE_CHECKING:
    from bulkops.models import Job

NAME = "bulkops_succeed"
"""Of an item that succeeds at its first try."""
TYPES = ("bigint", "integer", "integer", "jsonb")
"""Chunk, epoch, cursor, result."""


def text() -> str:
    """As the server has it, with $1 and so on. Raises AssertionError where it is no longer what this module knows."""
    ItemStatements().prepare()
    with connection.connection.cursor() as cursor:
        cursor.execute("SELECT statement, parameter_types::text[] FROM pg_prepared_statements WHERE name = %s", [NAME])
        statement, types = cursor.fetchone()
    assert tuple(types) == TYPES, "the item's statement has other parameters now: adapt tests/bench/statement.py"
    return statement.split(" AS\n", 1)[1].strip()


@dataclass(frozen=True)
class Room:
    """A job's chunks, for somebody who moves their cursors without being a worker."""

    first: int
    size: int
    epoch: int


def room(job: Job) -> Room:
    """Of a job that no worker takes. Its chunks' ids follow on one another, and all but the last are of one size."""
    chunks = list(Chunk.objects.filter(job=job).order_by("number"))
    assert [chunk.pk for chunk in chunks] == list(range(chunks[0].pk, chunks[0].pk + len(chunks)))
    size = chunks[0].size
    assert all(chunk.start == chunk.number * size for chunk in chunks)
    return Room(chunks[0].pk, size, chunks[0].epoch)


def for_pgbench(room: Room) -> str:
    """A script for one client that moves on by an item each time, beginning with the variable `item` at 0."""
    values = (f"{room.first} + :item / {room.size}", str(room.epoch), f":item % {room.size}")
    sent = " ".join(text().split())
    for number, kind in enumerate(TYPES, start=1):
        value = f":p{number}" if number <= len(values) else "NULL"
        sent = sent.replace(f"${number}", f"CAST({value} AS {kind})")
    sets = [f"\\set p{number} {value}" for number, value in enumerate(values, start=1)]
    return "\n".join([*sets, f"{sent};", "\\set item :item + 1", ""])
