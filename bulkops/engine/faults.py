"""Tells apart whose fault an error is, by the connection's condition and a table of SQLSTATEs."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any


class Fault(Enum):
    """What to do about an exception that came out of an item."""

    ITEM = auto()
    """The item failed; record it and go on."""
    TRANSIENT = auto()
    """Nobody's fault: run the item again, a few times."""
    STATEMENTS_GONE = auto()
    """Somebody deallocated our prepared statements: prepare them and run the item again."""
    CONNECTION = auto()
    """The database went away: not the item's fault, leave the slice."""


BY_SQLSTATE = {
    "40001": Fault.TRANSIENT,  # serialization_failure
    "40P01": Fault.TRANSIENT,  # deadlock_detected
    "26000": Fault.STATEMENTS_GONE,  # invalid_sql_statement_name
}

_CLOSED_BY_CLIENT = 1


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE behind a database error, or the empty string."""
    for candidate in (error, error.__cause__):
        code = getattr(candidate, "pgcode", None)
        if code:
            return str(code)
    return ""


def is_broken(driver: Any) -> bool:
    """Whether the server's side of a driver connection is gone; closing it on purpose is not that."""
    return driver is not None and driver.closed > _CLOSED_BY_CLIENT


def classify(error: BaseException, driver: Any) -> Fault:
    """Whose fault it is; `driver` is the connection that the item began with.

    A lost connection is told by that connection's own condition (the driver marks it at 57P01 to 57P03, 08xxx and a
    dropped socket), since the same SQLSTATE from another database is the item's own affair.
    """
    if is_broken(driver):
        return Fault.CONNECTION
    return BY_SQLSTATE.get(sqlstate(error), Fault.ITEM)
