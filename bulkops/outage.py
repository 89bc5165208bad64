"""Tells a database that is away, or a row that somebody keeps locked, from an error of our own making."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DatabaseError, Error, InterfaceError, OperationalError

if TYPE_CHECKING:
    from logging import Logger


_LOCK_NOT_AVAILABLE = "55P03"


def is_away(error: Error) -> bool:
    """Whether the database could not be asked, so that asking again may help.

    psycopg2 has no class of its own for a session that the server cut while it answered: a bare DatabaseError.
    """
    return isinstance(error, OperationalError | InterfaceError) or type(error) is DatabaseError


def is_lock_timeout(error: BaseException) -> bool:
    """Whether the wait for a row took longer than `lock_timeout`."""
    return any(getattr(one, "pgcode", None) == _LOCK_NOT_AVAILABLE for one in (error, error.__cause__))


class Outage:
    """Logs that the database went away and that it is back, once each: a process asks twice a second in between."""

    def __init__(self, logger: Logger, who: str) -> None:
        self._logger = logger
        self._who = who
        self._away = False

    def met(self, error: Exception) -> None:
        """The database could not be asked."""
        if not self._away:
            words = " ".join(str(error).split())
            self._logger.warning("%s event=database_away %s: %s", self._who, type(error).__name__, words)
        self._away = True

    def over(self) -> None:
        """The database answered."""
        if self._away:
            self._logger.info("%s event=database_back", self._who)
        self._away = False
