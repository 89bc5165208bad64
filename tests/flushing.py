"""Empties the test database between two tests by DELETE, where Django would TRUNCATE every table.

A test leaves a few rows in a few of forty tables; truncating all of them makes a hundred new files each time, and
waits for every connection that a request or a worker still has in a transaction. Content types and permissions are
made by migrations and stay, so that nothing has to make them again, and nothing looks whether it has to: Django would
announce the end of a migration after each test, which costs eight times what the deleting does. Which tables there are
is asked once.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from django.db import connections, transaction
from django.test import TransactionTestCase

KEPT = {"django_content_type", "auth_permission", "django_migrations"}


@cache
def _deletes(alias: str, database: str) -> str:
    """One statement that deletes every row of every table that the migrations made."""
    connection = connections[alias]
    names = [name for name in connection.introspection.django_table_names(only_existing=True) if name not in KEPT]
    return "; ".join(f"DELETE FROM {connection.ops.quote_name(name)}" for name in names)


def _empty(self: Any) -> None:
    for alias in self._databases_names(include_mirrors=False):
        deletes = _deletes(alias, connections[alias].settings_dict["NAME"])
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            # As a replica, PostgreSQL does not check foreign keys, so the order of the tables does not matter.
            cursor.execute(f"SET LOCAL session_replication_role = replica; {deletes}")


def install() -> None:
    """Let what ends every test that really commits delete rows."""
    TransactionTestCase._fixture_teardown = _empty
