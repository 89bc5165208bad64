"""An item's transaction is one, however its writes are sent; and where nothing was sent, one statement is enough."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection, transaction
from django.utils.functional import SimpleLazyObject
from psycopg2 import DataError, extensions

from bulkops import services, storable
from bulkops.engine.statements import ItemStatements
from bulkops.models import Chunk, Outcome
from bulkops.operation import Operation
from bulkops.testing import run
from tests.elsewhere import elsewhere
from tests.sample.models import Effect
from tests.sample.operations import Note, NoteOutside

pytestmark = pytest.mark.django_db(transaction=True)


class Sends(Operation):
    """Does what its item says."""

    name = "sends"

    def process(self, item: str, params: dict[str, Any], context: Any) -> Any:
        """Return whether the driver was in a transaction by then."""
        for step in item.split("+"):
            getattr(self, f"do_{step}")()
        return connection.connection.status == extensions.STATUS_BEGIN

    def do_nothing(self) -> None:
        """What most items outside the database do."""

    def do_hook(self) -> None:
        transaction.on_commit(lambda: Effect.objects.create(item="hook"))

    def do_write(self) -> None:
        Effect.objects.create(item="written")

    def do_driver(self) -> None:
        """Past all that Django sees."""
        with connection.connection.cursor() as cursor:
            cursor.execute("INSERT INTO sample_effect (item, note) VALUES ('by the driver', '')")

    def do_fail(self) -> None:
        raise ValueError("after all")

    def do_open(self) -> None:
        transaction.atomic().__enter__()

    def do_open_quietly(self) -> None:
        """Without a savepoint nothing is sent."""
        transaction.atomic(savepoint=False).__enter__()

    def do_look_later(self) -> None:
        """Have Django look, at its next use, whether the connection is still usable; by then it is not."""
        transaction.on_commit(self.part)

    @staticmethod
    def part() -> None:
        connection.health_check_enabled = True
        connection.close_if_unusable_or_obsolete()
        with elsewhere() as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [connection.connection.info.backend_pid])


class SendsOutside(Sends):
    """The same outside any transaction."""

    name = "sends-outside"
    transactional = False


def effects() -> list[str]:
    return sorted(Effect.objects.values_list("item", flat=True))


def test_an_item_that_sends_nothing_is_recorded_and_its_hooks_run():
    done = run(Sends, items=["nothing", "hook", "nothing"])
    assert (done.succeeded, effects()) == (3, ["hook"])


@pytest.mark.parametrize("writes", ["write", "driver"])
def test_after_one_that_sent_nothing_the_next_ones_writes_are_rolled_back_with_it(writes):
    done = run(Sends, items=["nothing", f"{writes}+fail", "nothing", writes])
    assert [one.state for one in done.outcomes] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert done.results == [False, None, False, True], "what the last one wrote was not committed by itself"
    assert len(effects()) == 1


@pytest.mark.parametrize("writes", ["write", "driver", "hook", "nothing"])
def test_nothing_is_kept_of_an_item_whose_chunk_was_taken_over_meanwhile(owner, worker, monkeypatch, writes):
    def process(*_: Any) -> None:
        getattr(Sends(), f"do_{writes}")()
        with elsewhere() as other:
            other.execute("UPDATE bulkops_chunk SET epoch = epoch + 1")
            other.execute("COMMIT")

    monkeypatch.setattr(Note, "process", process)
    services.submit(user=owner, operation="note", items=["a"])
    worker.step()
    assert (Outcome.objects.count(), effects()) == (0, [])
    assert Chunk.objects.get().cursor == 0


def test_the_chunk_and_its_outcomes_agree_whatever_was_sent():
    done = run(Sends, items=["nothing", "write", "fail", "driver", "write+fail", "hook"])
    chunk = Chunk.objects.get(job=done.job)
    assert (chunk.cursor, chunk.succeeded, chunk.failed, chunk.finished) == (6, 4, 2, True)
    assert effects() == ["by the driver", "hook", "written"]


@pytest.mark.parametrize("lost", [False, True])
def test_what_is_written_while_a_result_is_made_storable_is_the_items_own(owner, worker, monkeypatch, lost):
    """A lazy value, or one whose text asks the database, is looked at after `process` has returned."""

    def process(*_: Any) -> Any:
        if lost:
            with elsewhere() as other:
                other.execute("UPDATE bulkops_chunk SET epoch = epoch + 1")
                other.execute("COMMIT")
        return SimpleLazyObject(lambda: str(Effect.objects.create(item="late").item))

    monkeypatch.setattr(Note, "process", process)
    services.submit(user=owner, operation="note", items=["a"])
    worker.step()
    assert (Outcome.objects.count(), effects()) == ((0, []) if lost else (1, ["late"]))


def test_an_item_that_breaks_its_transaction_while_its_result_is_made_storable_fails(owner, worker, monkeypatch):
    def process(*_: Any) -> Any:
        return SimpleLazyObject(lambda: transaction.set_rollback(True))

    monkeypatch.setattr(Note, "process", process)
    job = worker.finish(services.submit(user=owner, operation="note", items=["a"]))
    assert [one.state for one in Outcome.objects.filter(job=job)] == ["failed"]


@pytest.mark.parametrize("opens", ["open", "open_quietly"])
@pytest.mark.parametrize("writes", ["write+", ""])
def test_an_item_that_leaves_a_block_of_its_transaction_open_fails(opens, writes):
    done = run(Sends, items=[f"{writes}{opens}", "write"])
    assert [one.state for one in done.outcomes] == ["failed", "succeeded"]
    assert "left a transaction open" in done.outcomes[0].message
    assert effects() == ["written"]


@pytest.mark.parametrize("opens", ["open", "open_quietly"])
def test_outside_too_an_item_that_leaves_a_block_open_fails(opens):
    done = run(SendsOutside, items=[opens, "write"])
    assert [one.state for one in done.outcomes] == ["failed", "succeeded"]
    assert "left a transaction open" in done.outcomes[0].message


@pytest.mark.parametrize("then", ["write", "nothing"])
def test_a_connection_that_django_replaces_at_the_next_item_costs_nobody_an_item(then):
    done = run(Sends, items=["look_later", then, then])
    assert [(one.state, one.message) for one in done.outcomes] == [("succeeded", "")] * 3


def test_a_success_whose_result_cannot_be_stored_says_so(owner, worker, monkeypatch):
    real, refused = ItemStatements.record, []

    def record(statements, one, result):
        if not refused:
            refused.append(one)
            raise DataError("no such character in this database's encoding")
        return real(statements, one, result)

    monkeypatch.setattr(ItemStatements, "record", record)
    monkeypatch.setattr(NoteOutside, "process", lambda *_: "\N{SNOWMAN}")
    job = worker.finish(services.submit(user=owner, operation="note-outside", items=["a"]))
    (kept,) = Outcome.objects.filter(job=job)
    assert (kept.state, kept.result, kept.error_code, kept.message) == ("succeeded", None, "error", storable.UNREADABLE)
