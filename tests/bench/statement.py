"""The item's own statement, taken from a session that the engine has prepared, for references that send it barely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connection

from bulkops.engine.statements import ItemStatements
from bulkops.models import Chunk, Job

NAME = "bulkops_advance"
TYPES = ("bigint", "integer", "integer", "integer", "text", "integer", "text", "text", "jsonb", "double precision")
"""Chunk, epoch, cursor, position, state, attempt, error code, message, result, seconds until due."""

EMPTY = {7: "''", 8: "''", 9: "NULL"}


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
    total: int
    epoch: int


def room(job: Job) -> Room:
    """Of a job that no worker takes. Its chunks' ids follow on one another, and all but the last are of one size."""
    chunks = list(Chunk.objects.filter(job=job).order_by("number"))
    assert [chunk.pk for chunk in chunks] == list(range(chunks[0].pk, chunks[0].pk + len(chunks)))
    size = chunks[0].size
    assert all(chunk.start == chunk.number * size for chunk in chunks)
    return Room(chunks[0].pk, size, chunks[-1].start + chunks[-1].size, chunks[0].epoch)


def for_pgbench(room: Room, *, in_transaction: bool) -> str:
    """A script for one client that moves on by an item each time; pgbench lacks empty values: they are written."""
    values = {
        1: f":first + :item / {room.size}",
        2: str(room.epoch),
        3: f":item % {room.size}",
        4: ":item",
    }
    sent = text()
    # From behind, so that $1 is not found in $10.
    for number in range(len(TYPES), 0, -1):
        value = EMPTY.get(number, f":p{number}")
        sent = sent.replace(f"${number}", f"CAST({value} AS {TYPES[number - 1]})")
    sets = [f"\\set p{number} {value}" for number, value in values.items()]
    sent = " ".join(sent.split()) + ";"
    body = ["BEGIN;", sent, "END;"] if in_transaction else [sent]
    return "\n".join([*sets, *body, "\\set item :item + 1", ""])


def variables(room: Room) -> dict[str, Any]:
    """With which the script begins."""
    return {"first": room.first, "item": 0, "p5": "succeeded", "p6": 1, "p10": 0}
