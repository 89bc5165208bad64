"""Tells a database that is away from an error of our own making."""

from __future__ import annotations

from django.db import DatabaseError, Error, InterfaceError, OperationalError


def is_away(error: Error) -> bool:
    """Whether the database could not be asked, so that asking again may help.

    psycopg2 has no class of its own for a session that the server cut while it answered: a bare DatabaseError.
    """
    return isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError
