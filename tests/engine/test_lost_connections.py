"""A connection lost in an item is nobody's fault, wherever it breaks: the item is run again and never failed for it."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import pytest
from django.db import DatabaseError, connection, transaction

from bulkops import Operation, register, registry, services
from bulkops.cluster.slots import Slots
from bulkops.engine import entry, hand
from bulkops.engine.faults import Fault, classify
from bulkops.engine.items import DatabaseAway
from bulkops.engine.statements import ItemStatements
from bulkops.models import Event, Outcome
from bulkops.states import EventKind, JobState
from bulkops.verify import verify
from tests.sample.models import Effect


def cut_the_line():
    """As when the server is gone: the socket is closed from the other side."""
    line = socket.socket(fileno=os.dup(connection.connection.fileno()))
    line.shutdown(socket.SHUT_RDWR)
    line.close()


def end_the_session():
    """As when somebody restarts the server: it says that it terminates the session."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def cut_and_ask():
    cut_the_line()
    Effect.objects.count()


def cut_in_an_inner_block():
    with transaction.atomic():
        cut_and_ask()


def cut_and_raise_another():
    try:
        cut_and_ask()
    except Exception as error:
        raise ValueError("could not ask") from error


BREAKS = [cut_the_line, end_the_session, cut_and_ask, cut_in_an_inner_block, cut_and_raise_another]


@pytest.fixture
def breaking():
    """Makes an operation whose second item loses the connection when it is run first."""
    names = []

    def make(how, *, is_transactional=True):
        class Breaking(Operation):
            name = "breaking"
            transactional = is_transactional
            broken = False

            def process(self, item, params, context):
                Effect.objects.create(item=item)
                if item == "b" and not Breaking.broken:
                    Breaking.broken = True
                    how()

        register(Breaking)
        names.append("breaking")

    yield make
    for name in names:
        registry.unregister(name)


def work_on(worker):
    """The worker dies of it, and another takes over."""
    with pytest.raises(DatabaseAway):
        worker.drain()
    connection.close()
    worker.die()


@pytest.fixture
def second(transactional_db):
    from tests.worker import InProcessWorker

    return InProcessWorker()


def outcomes(job):
    return list(Outcome.objects.filter(job=job).order_by("position").values_list("state", "message"))


@pytest.mark.parametrize("how", BREAKS)
def test_in_a_transaction(owner, worker, second, breaking, how):
    breaking(how)
    job = services.submit(user=owner, operation="breaking", items=["a", "b", "c"])
    work_on(worker)
    second.rescue()
    second.finish(job)
    assert outcomes(job) == [("succeeded", "")] * 3
    assert job.state == JobState.COMPLETED
    assert sorted(Effect.objects.values_list("item", flat=True)) == ["a", "b", "c"]
    assert verify(job.pk).agrees


@pytest.mark.parametrize("how", [how for how in BREAKS if how is not cut_the_line])
def test_outside_any_transaction(owner, worker, second, breaking, how):
    breaking(how, is_transactional=False)
    job = services.submit(user=owner, operation="breaking", items=["a", "b", "c"])
    work_on(worker)
    second.rescue()
    second.finish(job)
    assert outcomes(job) == [("succeeded", "")] * 3
    assert verify(job.pk).agrees


def test_what_was_done_outside_is_recorded_on_another_connection(owner, worker, breaking):
    """It is done already: to run it again would be the worse answer to a lost connection."""
    breaking(cut_the_line, is_transactional=False)
    job = services.submit(user=owner, operation="breaking", items=["a", "b", "c"])
    worker.finish(job)
    assert outcomes(job) == [("succeeded", "")] * 3
    assert sorted(Effect.objects.values_list("item", flat=True)) == ["a", "b", "c"]
    assert verify(job.pk).agrees


def test_what_was_done_outside_is_recorded_once_the_database_is_back(owner, worker, breaking):
    """The operation closed its connection before a slow call, and the database went away during it."""
    settings, host = connection.settings_dict, connection.settings_dict["HOST"]
    back = threading.Timer(0.3, lambda: settings.update(HOST=host))

    def go_away():
        connection.close()
        settings["HOST"] = "/nowhere"
        back.start()

    breaking(go_away, is_transactional=False)
    job = worker.finish(services.submit(user=owner, operation="breaking", items=["a", "b"]))
    assert job.state == JobState.COMPLETED
    assert list(Effect.objects.values_list("item", flat=True)) == ["a", "b"]


def test_waiting_to_record_is_not_taken_for_an_item_that_overstays(owner, worker, breaking, monkeypatch):
    """The limit is the author's code's: killed for it, an item that was done would have failed."""
    slot = Slots(1).take(1)
    monkeypatch.setattr(hand, "_note", slot)
    seen = []
    monkeypatch.setattr("bulkops.engine.items.time.sleep", lambda _: seen.append(slot.read()))
    breaking(lambda: seen.append(slot.read()) or cut_the_line(), is_transactional=False)
    worker.finish(services.submit(user=owner, operation="breaking", items=["a", "b", "c"]))
    in_process, while_away = seen
    assert in_process.in_hand.position == 1
    assert while_away is None


@pytest.mark.parametrize("how", [cut_the_line, end_the_session])
def test_a_recording_whose_answer_was_lost_is_not_taken_for_somebody_elses(owner, worker, second, monkeypatch, how):
    """The line is cut after the commit of work done outside: asking again finds the fence moved, by ourselves."""
    real = ItemStatements.record
    lost = []

    def record(self, one, result):
        answer = real(self, one, result)
        if one.position == 1 and not lost:
            lost.append(one)
            how()
            Effect.objects.count()
        return answer

    monkeypatch.setattr(ItemStatements, "record", record)
    job = services.submit(user=owner, operation="habits-outside", items=["a", "b", "c"])
    worker.finish(job)
    assert lost
    assert outcomes(job) == [("succeeded", "")] * 3
    assert sorted(Effect.objects.values_list("item", flat=True)) == ["a", "b", "c"]
    assert not Event.objects.filter(kind=EventKind.LATE_RESULT).exists()


@pytest.mark.parametrize("how", [cut_the_line, end_the_session])
def test_between_the_fenced_statement_and_its_commit(owner, worker, second, monkeypatch, how):
    real = ItemStatements.record
    lost = []

    def record(self, one, result):
        answer = real(self, one, result)
        if one.position == 1 and not lost:
            lost.append(one)
            try:
                how()
            except Exception:
                return answer
        return answer

    monkeypatch.setattr(ItemStatements, "record", record)
    job = services.submit(user=owner, operation="note", items=["a", "b", "c"])
    work_on(worker)
    second.rescue()
    second.finish(job)
    assert outcomes(job) == [("succeeded", "")] * 3
    assert sorted(Effect.objects.values_list("item", flat=True)) == ["a", "b", "c"]
    assert verify(job.pk).agrees


def test_a_connection_that_the_operation_closes_itself_is_its_own_failure(owner, worker, breaking):
    def close_and_ask():
        connection.connection.close()
        Effect.objects.count()

    breaking(close_and_ask)
    job = services.submit(user=owner, operation="breaking", items=["a", "b", "c"])
    worker.finish(job)
    assert [state for state, _ in outcomes(job)] == ["succeeded", "failed", "succeeded"]


def test_the_same_error_of_another_connection_is_the_items_own(transactional_db):
    connection.ensure_connection()
    with contextlib.closing(connection.copy()) as other:
        with other.cursor() as cursor, pytest.raises(DatabaseError) as caught:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert classify(caught.value, other.connection) is Fault.CONNECTION
    assert classify(caught.value, connection.connection) is Fault.ITEM


def say_that_it_is_away():
    raise DatabaseAway


def lose_it_between_items():
    """As while a chunk is claimed: Django's own error, of a session that ends."""
    with transaction.atomic():
        end_the_session()


@pytest.mark.parametrize("how", [say_that_it_is_away, lose_it_between_items, cut_and_ask])
def test_a_lost_connection_ends_the_worker_with_one_line(transactional_db, monkeypatch, caplog, how):
    def lost(*_):
        connection.ensure_connection()
        how()

    monkeypatch.setattr(entry.runner, "run_slice", lost)
    monkeypatch.setattr(entry.holder, "current", lambda: None)
    with pytest.raises(SystemExit):
        entry.run_slice("1b4e28ba-2fa1-4d2b-883f-0016d3cca427", 0, 1)
    connection.close()
    (record,) = caplog.records
    assert "event=slice_left database_away" in record.getMessage()
    assert record.exc_info is None


def test_any_other_error_ends_it_with_a_traceback(transactional_db, monkeypatch, caplog):
    def wrong(*_):
        Effect.objects.extra(where=["nonsense"]).count()

    monkeypatch.setattr(entry.runner, "run_slice", wrong)
    monkeypatch.setattr(entry.holder, "current", lambda: None)
    with pytest.raises(SystemExit):
        entry.run_slice("1b4e28ba-2fa1-4d2b-883f-0016d3cca427", 0, 1)
    (record,) = caplog.records
    assert "event=slice_failed" in record.getMessage()
    assert record.exc_info
