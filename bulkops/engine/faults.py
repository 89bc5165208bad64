"""Tells apart whose fault an error is, by the connection's condition and a table of SQLSTATEs."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import psycopg2

from bulkops import storable
from bulkops.exceptions import BulkopsError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
_SERVER_IS_GONE = ("08", "57P01", "57P02", "57P03")


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


def is_lost(error: BaseException, driver: Any) -> bool:
    """Whether the error came of this connection's loss.

    Told by the connection's own condition (the driver marks it at 57P01 to 57P03, 08xxx and a dropped socket), since
    the same error from another database is the item's own affair. But leaving an atomic block, Django closes a broken
    connection, which then looks closed on purpose; so a closed one is lost too where the server's end of it is what
    was complained of first. And where the server said something before it went, as at an immediate restart, the driver
    reports the loss but does not mark the connection until it is used again: that one is looked at.
    """
    if driver is None or not (driver.closed or tells_of_a_cut(error)):
        return False
    return is_broken(driver) or (bool(driver.closed) and tells_of_a_cut(error)) or _is_found_broken(driver)


def _is_found_broken(driver: Any) -> bool:
    """Whether a connection that looks open is not, by what has come in on it; asks the server nothing."""
    try:
        if not driver.closed:
            driver.poll()
    except psycopg2.Error:
        return True
    return is_broken(driver)


def tells_of_a_cut(error: BaseException) -> bool:
    """Whether the error, or one that it came of, is a driver's word for a session cut or a server that is away."""
    return any(_tells_of_a_cut(one) for one in chain(error))


def _tells_of_a_cut(error: BaseException) -> bool:
    """Not InterfaceError: that is what a connection says which the operation closed itself."""
    if not (isinstance(error, psycopg2.OperationalError) or type(error) is psycopg2.DatabaseError):
        return False
    code = str(getattr(error, "pgcode", None) or "")
    return not code or code.startswith(_SERVER_IS_GONE)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it came of."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def classify(error: BaseException, driver: Any) -> Fault:
    """Whose fault it is; `driver` is the connection that the item began with."""
    if is_lost(error, driver):
        return Fault.CONNECTION
    return BY_SQLSTATE.get(sqlstate(error), Fault.ITEM)


def code_of(error: BaseException) -> str:
    """The stable name under which an error is stored."""
    return storable.text(error.code if isinstance(error, BulkopsError) else type(error).__name__, 100)


def describe(error: BaseException) -> str:
    """An error in words; a bare KeyError('x') or SystemExit says little without its class. Never raises."""
    if isinstance(error, BulkopsError):
        return error.message
    try:
        text = str(error).strip()
    except BaseException:  # an author's class may have a `__str__` that raises anything
        text = storable.UNREADABLE
    name = type(error).__name__
    return f"{name}: {text}" if text else name
