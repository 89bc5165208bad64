"""Expand, then contract: what a migration may do to tables that the code before it still uses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import connection, migrations
from django.db.models import NOT_PROVIDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.migrations.state import ProjectState

BIG = {"job", "chunk", "outcome", "manifest", "event"}
"""Tables on which an index takes longer to build than anybody may wait."""
MOST_SECONDS = 5
CONTRACTING = (
    migrations.RemoveField,
    migrations.RenameField,
    migrations.RenameModel,
    migrations.DeleteModel,
    migrations.AlterModelTable,
)


def objections(migration: migrations.Migration, before: ProjectState) -> list[str]:
    """What speaks against releasing it together with code that uses it."""
    return [*_of_the_lock(migration), *_of_the_operations(migration, before.clone())]


def _of_the_lock(migration: migrations.Migration) -> Iterator[str]:
    first = migration.operations[0]
    text = first.sql if isinstance(first, migrations.RunSQL) else ""
    # Outside a transaction SET LOCAL does nothing.
    pattern = r"SET LOCAL lock_timeout = '(\d+)s'" if migration.atomic else r"SET lock_timeout = '(\d+)s'"
    found = re.fullmatch(pattern, text)
    if not found or not 0 < int(found[1]) <= MOST_SECONDS:
        yield f"does not begin with a lock_timeout of at most {MOST_SECONDS} s"


def _of_the_operations(migration: migrations.Migration, state: ProjectState) -> Iterator[str]:
    new = {one.name_lower for one in migration.operations if isinstance(one, migrations.CreateModel)}
    for operation in migration.operations:
        before, after = state, state.clone()
        operation.state_forwards("bulkops", after)
        table = getattr(operation, "model_name_lower", getattr(operation, "name_lower", ""))
        if table not in new:
            yield from _objections(operation, table, before, after)
        state = after


def _objections(operation: Any, table: str, before: ProjectState, after: ProjectState) -> Iterator[str]:
    if isinstance(operation, CONTRACTING):
        yield f"{operation.describe()}: the code before it still uses that"
    elif isinstance(operation, migrations.AddField):
        field = _field(after, operation)
        if not field.null and field.db_default is NOT_PROVIDED:
            yield f"{operation.describe()}: the code before it inserts rows without that column"
        if table in BIG and (field.db_index or field.unique):
            yield f"{operation.describe()}: builds an index while nobody can write"
    elif isinstance(operation, migrations.AlterField):
        yield from _of_a_change(operation, _field(before, operation), _field(after, operation))
    elif isinstance(operation, migrations.AddIndex) and not isinstance(operation, AddIndexConcurrently):
        if table in BIG:
            yield f"{operation.describe()}: builds an index while nobody can write"
    elif isinstance(operation, migrations.AddConstraint) and not isinstance(operation, AddConstraintNotValid):
        yield f"{operation.describe()}: reads the whole table while nobody can write"
    elif isinstance(operation, migrations.RunSQL) and re.search(r"(?i)CREATE (UNIQUE )?INDEX (?!CONC)", operation.sql):
        yield f"{operation.sql}: builds an index while nobody can write"


def _field(state: ProjectState, operation: Any) -> Any:
    return state.apps.get_model("bulkops", operation.model_name)._meta.get_field(operation.name)


def _of_a_change(operation: Any, old: Any, new: Any) -> Iterator[str]:
    if old.db_type(connection) != new.db_type(connection) and not _is_wider(old, new):
        yield f"{operation.describe()}: changes the column's type"
    if old.column != new.column:
        yield f"{operation.describe()}: renames the column"
    if old.null and not new.null:
        yield f"{operation.describe()}: the code before it writes NULL"
    if old.db_default is not NOT_PROVIDED and new.db_default is NOT_PROVIDED:
        yield f"{operation.describe()}: the code before it leaves the column to its default"
    if (new.unique and not old.unique) or (new.db_index and not old.db_index):
        yield f"{operation.describe()}: builds an index while nobody can write"


def _is_wider(old: Any, new: Any) -> bool:
    return old.get_internal_type() == new.get_internal_type() == "CharField" and new.max_length >= old.max_length
