"""The database's clock, which all hosts share; leases, due times and queue order are compared by it alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, DurationField, ExpressionWrapper, Func, Value


class ClockTimestamp(Func):
    """`clock_timestamp()`: the moment of the statement, not of its transaction's start."""

    function = "clock_timestamp"
    template = "%(function)s()"
    arity = 0
    output_field = DateTimeField()


def from_now(seconds: float) -> Any:
    """An expression: so many seconds from the database's now."""
    if not seconds:
        return ClockTimestamp()
    later = ClockTimestamp() + Value(timedelta(seconds=seconds), output_field=DurationField())
    return ExpressionWrapper(later, output_field=DateTimeField())


def database_now() -> datetime:
    """The database's time; one round trip."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]
