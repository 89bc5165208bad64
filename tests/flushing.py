"""Empties the test database between two tests by DELETE, where Django would TRUNCATE every table.

A test leaves a few rows in a few of forty tables; truncating all of them makes a hundred new files each time, and
waits for every connection that a request or a worker still has in a transaction. Content types and permissions are
made by migrations and stay, so that nothing has to make them again, and nothing looks whether it has to: Django would
announce the end of a migration after each test, which costs eight times what the deleting does.
"""

from __future__ import annotations

from typing import Any

from django.core.management.commands import flush
from django.db.backends.postgresql.operations import DatabaseOperations

KEPT = {"django_content_type", "auth_permission", "django_migrations"}


def _delete_rows(self: Any, style: Any, tables: list[str], **_: Any) -> list[str]:
    names = [self.quote_name(name) for name in tables if name not in KEPT]
    if not names:
        return []
    # As a replica, PostgreSQL does not check foreign keys, so the order of the tables does not matter.
    deletes = "; ".join(f"DELETE FROM {name}" for name in names)
    return [f"SET LOCAL session_replication_role = replica; {deletes}; SET LOCAL session_replication_role = origin"]


def install() -> None:
    """Let Django's `flush`, which ends every test that really commits, delete rows."""
    DatabaseOperations.sql_flush = _delete_rows
    flush.emit_post_migrate_signal = lambda *_, **__: None
