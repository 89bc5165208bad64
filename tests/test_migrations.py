"""The migrations say what the models say, and the tables are laid out for what every item does to them."""

from __future__ import annotations

import re
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connection, connections, migrations, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.utils.module_loading import import_string
from django_q.models import Schedule

from bulkops import retention, services
from bulkops.models import Chunk
from tests.elsewhere import elsewhere
from tests.schema import old_code, rules
from tests.schema.scratch import ALIAS, Scratch, apply, scratch_database

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT = ("job", "chunk", "outcome", "event")
"""Tables that somebody reads for long."""


@pytest.mark.django_db
def test_no_model_has_changed_without_its_migration():
    call_command("makemigrations", "bulkops", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db(transaction=True)
def test_an_items_update_of_its_chunk_stays_in_place(owner):
    """A HOT update leaves the row's version on its page and no index is touched: what keeps the rate up."""
    services.submit(user=owner, operation="note", items=[str(n) for n in range(5000)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")  # what was done before, so that it is not counted below
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_reset_single_table_counters('bulkops_chunk'::regclass)")
        for _ in range(10):
            # While anybody on the server has a transaction open, an update leaves old versions where they are, and the
            # page would be full before long. This looks at those of this database only.
            cursor.execute("VACUUM bulkops_chunk")
            for _ in range(10):
                cursor.execute(
                    "UPDATE bulkops_chunk SET cursor = cursor + 1, succeeded = succeeded + 1 WHERE number < 5"
                )
        cursor.execute("SELECT pg_stat_force_next_flush()")
    with connection.cursor() as cursor:
        cursor.execute("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'bulkops_chunk'")
        updated, in_place = cursor.fetchone()
    assert updated == 500
    assert in_place >= 495
    assert Chunk.objects.filter(cursor=100).count() == 5


@pytest.mark.django_db
def test_compressed_payloads_are_not_compressed_again():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attstorage FROM pg_attribute WHERE attrelid = 'bulkops_manifest'::regclass AND attname = 'payload'"
        )
        assert cursor.fetchone() == ("e",)


# -- expand, then contract


def names() -> list[str]:
    """All migrations, the oldest first."""
    loader = MigrationLoader(None)
    return sorted(name for app, name in loader.disk_migrations if app == "bulkops")


LAST = names()[-1]
SCHEDULING = "0004_prune_daily"
NEWEST = 3


OLDER = [pytest.param(pair, marks=pytest.mark.slow) for pair in pairwise(names()[:-NEWEST])]


@pytest.fixture(scope="module", params=[*OLDER, *pairwise(names()[-NEWEST - 1 :])], ids="-".join)
def step(request: Any) -> tuple[str, str]:
    """A migration and the one before it; what is tested of one stands together, so that the database goes few ways.

    All but the newest, which alone may still be changed, are slow.
    """
    return request.param


@pytest.fixture(scope="module")
def scratch(django_db_setup: None, django_db_blocker: Any) -> Iterator[Scratch]:
    with django_db_blocker.unblock(), scratch_database() as scratch:
        yield scratch


def release(before: str) -> str:
    """The newest SQL of former code that ran with that migration: of a release, so not of each migration."""
    known = sorted(path.stem for path in Path(old_code.__file__).parent.glob("*.sql"))
    return [one for one in known if one <= before[:4]][-1]


def migration(name: str) -> migrations.Migration:
    return MigrationLoader(None).disk_migrations["bulkops", name]


def test_a_migration_keeps_the_rules(scratch: Scratch, step: tuple[str, str]):
    before, after = step
    assert rules.objections(migration(after), scratch.state(before)) == []


@pytest.mark.slow
def test_a_migration_can_be_taken_back_and_made_again(scratch: Scratch, step: tuple[str, str]):
    before, after = step
    scratch.migrate(before)
    columns_before = scratch.columns()
    scratch.migrate(after)
    columns_after = scratch.columns()
    scratch.migrate(before)
    assert scratch.columns() == columns_before
    scratch.migrate(after)
    assert scratch.columns() == columns_after


def test_the_code_before_a_migration_works_with_the_tables_after_it(scratch: Scratch, step: tuple[str, str]):
    before, after = step
    scratch.migrate(after)
    with transaction.atomic(using=ALIAS):
        old_code.work(scratch.state(before).apps, release(before), ALIAS)
        transaction.set_rollback(True, using=ALIAS)


@pytest.mark.slow
def test_a_migration_gives_up_where_somebody_keeps_a_table(scratch: Scratch, step: tuple[str, str]):
    """A backup, say: whoever waits behind the migration waits no longer than its lock_timeout."""
    before, after = step
    scratch.migrate(before)
    columns = scratch.columns()
    sql = "\n".join(MigrationLoader(scratch.connection).collect_sql([(migration(after), False)]))
    alters = re.search(f'ALTER TABLE "bulkops_({"|".join(KEPT)})"', sql) is not None
    with elsewhere(scratch.connection) as other, scratch.connection.execute_wrapper(sooner):
        other.execute(f"SELECT count(*) FROM {', '.join(f'bulkops_{table}' for table in KEPT)}")
        with pytest.raises(OperationalError, match="lock timeout") if alters else nullcontext():
            scratch.migrate(after)
        assert (scratch.columns() == columns) or not alters
    scratch.migrate(after)


def test_switching_vectors_on_gives_up_where_somebody_keeps_the_users(scratch: Scratch):
    """Who writes a user's row, as each submission locks one, would wait behind the migration."""
    scratch.migrate(LAST)
    (vectors,) = ((app, name) for app, name in MigrationLoader(None).disk_migrations if app == "bulkops_vectors")
    with elsewhere(scratch.connection) as other, scratch.connection.execute_wrapper(sooner):
        other.execute("LOCK TABLE auth_user IN ROW EXCLUSIVE MODE")
        with pytest.raises(OperationalError, match="lock timeout"):
            MigrationExecutor(scratch.connection).migrate([vectors])
    # The key is made last, and when that fails, Django forgets to end the transaction.
    scratch.connection.close()
    del connections[ALIAS]
    MigrationExecutor(scratch.connection).migrate([vectors])


def sooner(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:
    """Shortens the limit that a migration sets, and gives a statement one that has none."""
    if "SET LOCAL lock_timeout" in str(sql):
        sql = "SET LOCAL lock_timeout = '200ms'; SET LOCAL statement_timeout = '10s'"
    return execute(sql, params, many, context)


@pytest.mark.slow
def test_the_schedule_of_the_nightly_task_is_made_once_and_names_a_function(scratch: Scratch):
    before = names()[names().index(SCHEDULING) - 1]
    scratch.migrate(before)
    scratch.migrate(LAST)
    found = Schedule.objects.using(ALIAS).filter(func=retention.SCHEDULED)
    assert import_string(found.get().func) is retention.prune_in_turns
    assert (found.get().schedule_type, found.get().repeats, found.get().cluster) == (Schedule.DAILY, -1, None)
    found.delete()
    scratch.migrate(LAST)
    assert not found.exists(), "an operator has deleted it"


# -- that these tests can fail

TIMEOUT = migrations.RunSQL("SET LOCAL lock_timeout = '5s'")
BAD_FOR_OLD_CODE = {
    "a column that must be filled": migrations.AddField("event", "weight", models.IntegerField(default=0)),
    "a column less": migrations.RemoveField("outcome", "message"),
    "another name of a column": migrations.RenameField("chunk", "stop", "halt"),
    "another name of a table": migrations.RenameModel("Manifest", "Payload"),
    "a table less": migrations.DeleteModel("Event"),
    "another type": migrations.AlterField("event", "kind", models.IntegerField()),
    "a constraint": migrations.AddConstraint(
        "job", models.CheckConstraint(condition=models.Q(total__lt=2), name="few_items")
    ),
    "NULL no more": migrations.AlterField("outcome", "result", models.JSONField()),
}
BAD_FOR_EVERYBODY = {
    "an index": migrations.AddIndex("outcome", models.Index(fields=["finished_at"], name="by_time")),
    "an index by hand": migrations.RunSQL("CREATE INDEX by_time ON bulkops_event (at)"),
    "a column with an index": migrations.AddField("job", "rank", models.IntegerField(null=True, db_index=True)),
    "a narrower column": migrations.AlterField("job", "queue", models.CharField(max_length=99)),
}


def made(*operations: Any, atomic: bool = True) -> migrations.Migration:
    one = migrations.Migration("0099_made", "bulkops")
    one.operations, one.atomic = list(operations), atomic
    return one


@pytest.mark.parametrize("what", [*BAD_FOR_OLD_CODE, *BAD_FOR_EVERYBODY])
def test_a_bad_migration_breaks_the_rules(scratch: Scratch, what: str):
    bad = made(TIMEOUT, (BAD_FOR_OLD_CODE | BAD_FOR_EVERYBODY)[what])
    assert len(rules.objections(bad, scratch.state(LAST))) == 1


@pytest.mark.parametrize("what", BAD_FOR_OLD_CODE)
def test_the_code_before_a_bad_migration_fails_after_it(scratch: Scratch, what: str):
    scratch.migrate(LAST)
    state = scratch.state(LAST)
    with transaction.atomic(using=ALIAS):
        apply(made(BAD_FOR_OLD_CODE[what]), state)
        with pytest.raises(DatabaseError):
            old_code.work(state.apps, release(LAST), ALIAS)
        transaction.set_rollback(True, using=ALIAS)


def test_a_good_migration_passes(scratch: Scratch):
    scratch.migrate(LAST)
    state = scratch.state(LAST)
    good = made(
        TIMEOUT,
        migrations.AddField("event", "weight", models.IntegerField(null=True)),
        migrations.AddField("chunk", "colour", models.CharField(max_length=9, default="", db_default="")),
        migrations.AlterField("job", "queue", models.CharField(max_length=101, default="default")),
        migrations.CreateModel("Extra", [("id", models.BigAutoField(primary_key=True)), ("n", models.IntegerField())]),
        migrations.AddIndex("extra", models.Index(fields=["n"], name="extra_n")),
    )
    assert rules.objections(good, state) == []
    with transaction.atomic(using=ALIAS):
        apply(good, state)
        old_code.work(state.apps, release(LAST), ALIAS)
        transaction.set_rollback(True, using=ALIAS)


@pytest.mark.parametrize(
    ("first", "atomic"),
    [
        (migrations.RunSQL("SELECT 1"), True),
        (migrations.RunSQL("SET LOCAL lock_timeout = '60s'"), True),
        (migrations.RunSQL("SET lock_timeout = '5s'"), True),
        (TIMEOUT, False),
        (migrations.AddField("event", "weight", models.IntegerField(null=True)), True),
    ],
)
def test_a_migration_without_a_limit_of_its_waiting_breaks_the_rules(scratch: Scratch, first: Any, atomic: bool):
    (objection,) = rules.objections(made(first, atomic=atomic), scratch.state(LAST))
    assert "lock_timeout" in objection
