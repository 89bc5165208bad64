"""A database of its own beside the test database, to be migrated to and fro."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.migrations import Migration
    from django.db.migrations.state import ProjectState

ALIAS = "scratch"


class Scratch:
    """The database, and how far it is migrated."""

    @property
    def connection(self):
        return connections[ALIAS]

    def migrate(self, name: str) -> None:
        """Take bulkops' tables to the state after that migration, forwards or backwards."""
        executor = MigrationExecutor(self.connection)
        queue = [key for key in executor.loader.graph.leaf_nodes() if key[0] == "django_q"]
        targets = [*queue, ("bulkops", name)]
        if executor.migration_plan(targets):
            executor.migrate(targets)

    def state(self, name: str) -> ProjectState:
        """All models as that migration leaves them."""
        return MigrationExecutor(self.connection).loader.project_state(("bulkops", name))

    def columns(self) -> set[tuple]:
        """Every column of bulkops' tables, with its type and default."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
                " WHERE table_name LIKE 'bulkops\\_%'"
            )
            return set(cursor.fetchall())


@contextmanager
def scratch_database() -> Iterator[Scratch]:
    """Create it, let Django know it by its alias, and drop it at the end."""
    name = f"{connection.settings_dict['NAME']}_scratch"
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}"')
    connections.settings[ALIAS] = {**connection.settings_dict, "NAME": name}
    try:
        yield Scratch()
    finally:
        connections[ALIAS].close()
        del connections[ALIAS]
        del connections.settings[ALIAS]
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def apply(migration: Migration, state: ProjectState) -> None:
    """Apply one that stands in no file, in the caller's transaction."""
    with connections[ALIAS].schema_editor() as editor:
        migration.apply(state.clone(), editor)
