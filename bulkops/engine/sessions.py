"""Names the database sessions of workers, and ends those of workers that are gone.

A process that was killed, frozen or cut off can leave its session behind, waiting in a statement or between the fence
and COMMIT, with row locks that would hold up whoever takes its work over.
"""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection
from django.db.backends.signals import connection_created


def name_of(cluster_id: int, worker: int) -> str:
    """What a worker's sessions are called in pg_stat_activity."""
    return f"bulkops {cluster_id}/{worker}"


def name_own(cluster_id: int, worker: int) -> None:
    """Name every session that this process opens from now on, and the one it has."""
    name = name_of(cluster_id, worker)

    def label(*, connection: Any, **_: object) -> None:
        if connection.alias == DEFAULT_DB_ALIAS:
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('application_name', %s, false)", [name])

    connection_created.connect(label, weak=False, dispatch_uid="bulkops-session-name")


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
