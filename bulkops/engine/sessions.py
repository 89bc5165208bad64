"""The database sessions of leaders and workers: their names and limits, and the end of those whose process is gone.

A process that was killed, frozen or cut off can leave its session behind, waiting in a statement or between the fence
and COMMIT, with row locks that would hold up whoever takes its work over. Where its leader lives, the session is ended
by name. Where the whole host is gone without a word, the server finds out: by keepalives, and by the time that a
transaction may stand idle.
"""

from __future__ import annotations

import math
import os
import socket
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connection
from django.db.backends.signals import connection_created

from bulkops import registry

LINE_LOST_SECONDS = 60
"""After so long without any answer, each end of a TCP connection gives it up."""
KEEPALIVES = {"idle": 30, "interval": 10, "count": 3}
"""Seconds of silence before the first question, seconds between two, questions without an answer."""
LEADER_LOCK_TIMEOUT = "1s"
"""A row somebody has locked is left for the next round, so that one frozen holder stops nobody's rescue."""
IDLE_MARGIN_SECONDS = 30
"""So much longer than an item may take, its transaction may stand idle: the leader is first to end what overstays."""

MOST_IDLE_SECONDS = 2_000_000
"""PostgreSQL counts milliseconds in 31 bits."""

_IDLE_LIMIT = "idle_in_transaction_session_timeout"

_limited = False
_settings: dict[str, str] = {}


def name_of(cluster_id: int, worker: int) -> str:
    """What a worker's sessions are called in pg_stat_activity."""
    return f"bulkops {cluster_id}/{worker}"


def of_worker(cluster_id: int, worker: int) -> None:
    """Name and limit every session that this process, a worker, opens from now on."""
    global _limited
    _limited = True
    _prepare_with(application_name=name_of(cluster_id, worker))


def of_leader() -> None:
    """Limit every session that this process, a leader, opens from now on."""
    _prepare_with(lock_timeout=LEADER_LOCK_TIMEOUT)


def limit_idleness(*, wanted: bool) -> None:
    """End this worker's transactions that stand idle for longer than any item may take, or leave them to the server.

    Wanted for jobs; a task of the project's own may do as it likes. A round trip where that changes.
    """
    global _limited
    if _limited == wanted:
        return
    _limited = wanted
    limit = _idle_limit()
    if limit is None:
        return
    try:
        with connection.cursor() as cursor:
            if wanted:
                cursor.execute("SELECT set_config(%s, %s, false)", [_IDLE_LIMIT, limit])
            else:
                cursor.execute(f"RESET {_IDLE_LIMIT}")
    except (DatabaseError, InterfaceError):
        connection.close()  # the next one is opened with what is wanted


def _idle_limit() -> str | None:
    """Above the longest `item_timeout_seconds`; None where an operation has no limit: then the server's own stands.

    By session and not by operation, which would cost each slice a round trip: it is for hosts that vanish, and for
    those a minute more or less is all the same.
    """
    limits = [operation.item_timeout_seconds for operation in registry.every()]
    if not limits or min(limits) == 0:
        return None
    return f"{min(math.ceil(max(limits)) + IDLE_MARGIN_SECONDS, MOST_IDLE_SECONDS)}s"


def _prepare_with(**settings: str) -> None:
    _settings.clear()
    _settings.update(
        settings,
        # On a Unix socket the server takes these and ignores them.
        tcp_user_timeout=f"{LINE_LOST_SECONDS}s",
        **{f"tcp_keepalives_{name}": str(value) for name, value in KEEPALIVES.items()},
    )
    connection_created.connect(_prepare, weak=False, dispatch_uid="bulkops-sessions")


def _prepare(*, connection: Any, **_: object) -> None:
    if connection.alias != DEFAULT_DB_ALIAS:
        return
    wanted = dict(_settings)
    if _limited and (limit := _idle_limit()) is not None:
        wanted[_IDLE_LIMIT] = limit
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)",
            [list(wanted), list(wanted.values())],
        )
    _keep_alive(connection.connection.fileno())


def _keep_alive(descriptor: int) -> None:
    """The client's end of the same; a server that vanishes would otherwise be waited for by the hour."""
    with socket.socket(fileno=os.dup(descriptor)) as line:
        if line.family == socket.AF_UNIX or not hasattr(socket, "TCP_KEEPIDLE"):
            return
        line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVES["idle"])
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVES["interval"])
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVES["count"])
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LINE_LOST_SECONDS * 1000)


def end_of_worker(cluster_id: int, worker: int) -> None:
    """End what sessions a worker left behind; its process is known to be gone."""
    _end("application_name = %s", name_of(cluster_id, worker))


def end_of_cluster(cluster_id: int) -> None:
    """The same for all workers of a cluster that counts as dead; those of a frozen host come back to a closed one."""
    _end("application_name LIKE %s", f"bulkops {cluster_id}/%")


def _end(condition: str, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"  # noqa: S608 - one of the two above
            f" WHERE datname = current_database() AND usename = current_user AND {condition}",
            [value],
        )
