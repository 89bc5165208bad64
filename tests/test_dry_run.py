"""A dry run shows what a job would record of the first items, keeps nothing, and hangs nobody."""

from __future__ import annotations

import io
import threading
import time
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django import forms
from django.core.files.storage import default_storage
from django.db import Error, connection, transaction

from bulkops import (
    InDoubt,
    NotPermitted,
    Operation,
    RetryAfter,
    dry_run,
    register,
    registry,
    result_files,
    services,
    uploaded_files,
)
from bulkops.engine import uncommitted
from bulkops.exceptions import DryRunBusy, InvalidParams
from bulkops.models import Chunk, Event, Job, Manifest, Outcome, Turn
from bulkops.testing import run as run_for_real
from tests.clusters import wait_for
from tests.elsewhere import elsewhere
from tests.sample.models import Account, Effect
from tests.sample.operations import Habits

pytestmark = pytest.mark.django_db(transaction=True)


class Trying(Operation):
    """Does what its item says."""

    name = "trying"
    ran: ClassVar[list[Any]] = []
    hooks: ClassVar[list[Any]] = []
    meanwhile: ClassVar[dict[str, Any]] = {}

    class Params(forms.Form):
        note = forms.CharField(initial="x")

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        self.ran.append(item)
        Effect.objects.create(item=str(item), note=params["note"])
        transaction.on_commit(lambda: self.hooks.append(item))
        context.message(f"working on {item}")
        assert (context.attempt, context.should_stop()) == (1, False)
        return self.meanwhile.get(item, lambda _: {"item": item})(context)


@pytest.fixture(autouse=True)
def trying():
    """The operation, registered for one test."""
    register(Trying)
    Trying.ran.clear()
    Trying.hooks.clear()
    Trying.meanwhile.clear()
    yield Trying
    registry.unregister(Trying.name)


@pytest.fixture
def at(trying):
    """Has an item do something: `at("a", lambda context: …)`."""
    return trying.meanwhile.__setitem__


def try_out(owner, items=None, operation="trying", most=None, **what):
    return dry_run.run(services.check(user=owner, operation=operation, items=items, **what), most=most)


def raising(error):
    def do(context):
        raise error

    return do


def nothing_kept():
    kept = [Effect, Job, Chunk, Manifest, Outcome, Event, Turn]
    return not any(model.objects.exists() for model in kept) and not Trying.hooks


def states(found):
    return [one.state for one in found.tried]


# -- outcomes


def test_outcomes_are_those_that_a_job_would_record(owner, at):
    at("skip", lambda context: context.skip("not today"))
    at("bad", raising(ValueError("this item is bad")))
    at("doubt", raising(InDoubt("cut off")))
    at("busy", raising(RetryAfter(60, "429")))
    found = try_out(owner, ["good", "skip", "bad", "doubt", "busy"])
    assert [(one.position, one.item, one.state, one.error_code, one.message) for one in found.tried] == [
        (0, "good", "succeeded", "", ""),
        (1, "skip", "skipped", "skipped", "not today"),
        (2, "bad", "failed", "ValueError", "ValueError: this item is bad"),
        (3, "doubt", "in_doubt", "in-doubt", "cut off"),
        (4, "busy", "deferred", "retry-after", "429"),
    ]
    assert found.tried[0].result == {"item": "good"}
    assert found.tried[0].said == "working on good"
    assert found.tried[4].label == "would be tried again"
    assert nothing_kept()


HARMLESS = [name[3:].replace("_", "-") for name in dir(Habits) if name.startswith("do_")]


@pytest.mark.parametrize("habit", sorted(set(HARMLESS) - {"interrupt", "huge", "bad-hook", "deallocate", "pass-by"}))
def test_every_habit_of_an_item_comes_out_as_in_a_job(owner, habit):
    connection.ensure_connection()
    found = try_out(owner, [habit, "fine"], "habits")
    assert nothing_kept()
    real = run_for_real("habits", [habit, "fine"])
    (dry, fine), (wet, _) = found.tried, real.outcomes
    # A job tries some again until it is content; the first try is what is shown.
    expected = "deferred" if habit in {"never-pass-by", "retry-after"} else wet.state
    assert (dry.state, dry.error_code) == (expected, wet.error_code)
    assert dry.result == wet.result or habit == "object"  # which says its address in memory
    assert fine.state == "succeeded"


def test_an_item_that_only_its_commit_refuses_is_failed(owner, at):
    def write_a_stray(_):
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO bulkops_event (job_id, at, kind, from_state, to_state, detail)"
                " VALUES (gen_random_uuid(), now(), 'x', '', '', '')"
            )

    at("stray", write_a_stray)
    found = try_out(owner, ["stray", "fine"])
    assert [(one.state, one.error_code) for one in found.tried] == [("failed", "IntegrityError"), ("succeeded", "")]
    assert "foreign key" in found.tried[0].message
    assert nothing_kept()


def test_an_items_form_cleans_it_as_a_worker_would(owner):
    found = try_out(owner, [{"number": "7", "note": "x"}], "rows")
    assert (found.tried[0].item, found.tried[0].result) == ({"number": "7", "note": "x"}, 7)
    assert nothing_kept()


# -- how many


def test_only_the_first_few_are_tried(owner, settings):
    assert len(try_out(owner, range(50)).tried) == 5
    settings.BULKOPS = {"dry_run_items": 3}
    assert Trying.ran == [0, 1, 2, 3, 4]
    assert len(try_out(owner, range(50)).tried) == 3
    assert len(try_out(owner, range(50), most=100).tried) == 3
    assert len(try_out(owner, range(50), most=2).tried) == 2
    assert len(try_out(owner, range(50), limit=1).tried) == 1


def test_the_first_few_may_lie_in_several_chunks(owner, settings):
    settings.BULKOPS = {"chunk_items": 2}
    assert [one.item for one in try_out(owner, list("abcdefgh")).tried] == list("abcde")


# -- nothing is kept, whatever an item does


def commit_as_text(_):
    with connection.cursor() as cursor:
        cursor.execute("COMMIT")


def commit_on_driver(_):
    connection.connection.commit()


def commit_on_the_drivers_cursor(_):
    with connection.connection.cursor() as cursor:
        cursor.execute("COMMIT")


def commit_in_a_string(_):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1; COMMIT; SELECT 2")


def roll_back_and_write(_):
    connection.connection.rollback()
    Effect.objects.create(item="behind the back")
    connection.connection.commit()


def roll_back_as_text_and_write(_):
    with connection.connection.cursor() as cursor:
        cursor.execute("ROLLBACK")
    Effect.objects.create(item="behind the back")


def commit_and_swallow(_):
    for way in (commit_as_text, commit_on_driver):
        try:
            way(_)
        except Exception:
            Trying.ran.append("swallowed")
    return "all is well"


ENDINGS = [
    commit_as_text,
    commit_on_driver,
    commit_on_the_drivers_cursor,
    commit_in_a_string,
    roll_back_and_write,
    roll_back_as_text_and_write,
    commit_and_swallow,
]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda one: one.__name__)
def test_an_item_that_commits_by_itself_is_caught_before_it_can(owner, at, ending):
    at("ends", ending)
    found = try_out(owner, ["before", "ends", "after"])
    assert states(found) == ["succeeded", "failed", "succeeded"]
    assert found.tried[1].error_code == "transaction-broken"
    assert nothing_kept()
    assert connection.get_autocommit()


def test_an_inner_transaction_is_let_be(owner, at):
    def nest(_):
        with transaction.atomic():
            Effect.objects.create(item="inner")
        try:
            with transaction.atomic():
                Effect.objects.create(item="undone")
                raise ValueError("inner")
        except ValueError:
            return sorted(Effect.objects.values_list("item", flat=True))

    at("nests", nest)
    found = try_out(owner, ["nests"])
    assert found.tried[0].result == ["inner", "nests"]
    assert nothing_kept()


def test_one_item_does_not_see_what_the_one_before_it_wrote(owner, at):
    at("looks", lambda _: Effect.objects.count())
    assert try_out(owner, ["before", "looks"]).tried[1].result == 1


def test_constraints_that_an_item_asks_for_at_once_are_said_to_be_out_of_reach(owner, at):
    def ask(_):
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    at("asks", ask)
    found = try_out(owner, ["asks", "fine"])
    assert states(found) == ["not_tried", "succeeded"]
    assert "SET CONSTRAINTS" in found.tried[0].message


def test_within_a_hosts_transaction_nothing_is_kept_either(owner, at):
    with transaction.atomic():
        Effect.objects.create(item="the host's")
        found = try_out(owner, ["a", "b"])
        assert states(found) == ["succeeded", "succeeded"]
    assert list(Effect.objects.values_list("item", flat=True)) == ["the host's"]


def test_a_session_keeps_no_limit_of_a_dry_run(owner):
    try_out(owner, ["a"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
        assert cursor.fetchone() == ("0", "0")


def test_what_is_to_be_done_outside_transactions_is_not_run(owner):
    found = try_out(owner, ["a", "b"], "note-outside")
    assert (found.items, found.tried) == (["a", "b"], [])
    assert "works outside transactions" in found.why_not
    assert nothing_kept()


class Stamping(Trying):
    name = "stamping"
    takes_files = True
    ran_as: Any = None

    def process(self, item: Any, params: dict[str, Any], context: Any) -> Any:
        type(self).ran_as = context.job_id
        with context.open_file(item) as file:
            stored = context.save_file("stamped.txt", file.read() + b" stamped")
        with default_storage.open(stored["path"]) as file:
            return file.read().decode()


def test_a_file_is_read_and_what_an_item_stores_is_deleted(owner, monkeypatch):
    register(Stamping)
    try:
        batch = uploaded_files.Batch()
        batch.add("a.txt", io.BytesIO(b"mine"))
        found = try_out(owner, batch.items, "stamping", upload=batch.id)
    finally:
        registry.unregister(Stamping.name)
    assert [one.result for one in found.tried] == ["mine stamped"]
    assert default_storage.listdir(result_files.FOLDER)[0] == []
    assert default_storage.exists(batch.items[0]["file"])
    # Had it been killed before that, its files would be known as a dry run's.
    result_files.save(Stamping.ran_as, 0, "stamped.txt", b"mine stamped")
    monkeypatch.setattr(result_files, "KEPT_FOR", timedelta(seconds=-1))
    assert result_files.sweep() == 1


# -- waiting


def test_an_item_that_waits_for_a_lock_says_so_and_hangs_nobody(owner, at):
    account = Account.objects.create(number=1)
    at("locked", lambda _: Account.objects.filter(pk=account.pk).update(balance=5))
    with elsewhere() as other:
        other.execute("SELECT * FROM sample_account WHERE id = %s FOR UPDATE", [account.pk])
        began = time.monotonic()
        found = try_out(owner, ["locked", "fine"])
        took = time.monotonic() - began
    assert states(found) == ["not_tried", "succeeded"]
    assert "another session has locked" in found.tried[0].message
    assert took < 5
    assert nothing_kept()


def test_a_wait_that_the_item_makes_light_of_is_told_all_the_same(owner, at):
    account = Account.objects.create(number=1)

    def shrug(_):
        try:
            with transaction.atomic():
                Account.objects.filter(pk=account.pk).update(balance=5)
        except Exception:
            return "never mind"

    at("locked", shrug)
    with elsewhere() as other:
        other.execute("SELECT * FROM sample_account WHERE id = %s FOR UPDATE", [account.pk])
        assert states(try_out(owner, ["locked", "fine"])) == ["not_tried", "succeeded"]


def test_an_item_that_asks_not_to_wait_fails_as_in_a_job(owner, at):
    account = Account.objects.create(number=1)
    at("impatient", lambda _: Account.objects.select_for_update(nowait=True).get(pk=account.pk) and None)
    with elsewhere() as other:
        other.execute("SELECT * FROM sample_account WHERE id = %s FOR UPDATE", [account.pk])
        found = try_out(owner, ["impatient"])
    assert states(found) == ["failed"]
    assert "could not obtain lock" in found.tried[0].message


def test_when_the_time_is_over_the_rest_is_not_tried(owner, at, settings):
    settings.BULKOPS = {"dry_run_seconds": 0.3}

    def sleep(_):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")

    at("slow", sleep)
    found = try_out(owner, ["fine", "slow", "never"])
    assert states(found) == ["succeeded", "not_tried", "not_tried"]
    assert "0.3 s that a dry run may take" in found.tried[2].message
    assert Trying.ran == ["fine", "slow"]
    assert nothing_kept()


def test_many_short_statements_end_with_the_time_too(owner, at, settings):
    settings.BULKOPS = {"dry_run_seconds": 0.2}

    def busily(_):
        while True:
            Effect.objects.exists()

    at("busy", busily)
    assert states(try_out(owner, ["busy", "never"])) == ["not_tried", "not_tried"]


def test_a_user_has_one_dry_run_at_a_time(owner, stranger):
    with elsewhere() as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [dry_run._lock_of(owner)])
        with pytest.raises(DryRunBusy, match="A dry run of yours is going on"):
            try_out(owner, ["a"])
        assert states(try_out(stranger, ["a"])) == ["succeeded"]
    assert Trying.ran == ["a"]
    assert states(try_out(owner, ["a"])) == ["succeeded"]


def test_of_many_presses_one_is_tried_and_the_others_are_refused_at_once(owner, at):
    pressed = threading.Event()
    at("waits", lambda _: pressed.wait(30) and None)
    answers = []

    def press():
        try:
            answers.append(try_out(owner, ["waits"]))
        finally:
            connection.close()

    first = threading.Thread(target=press)
    first.start()
    try:
        wait_for(lambda: Trying.ran, 10, "the first press in the middle of its item")
        for _ in range(20):
            with pytest.raises(DryRunBusy):
                try_out(owner, ["waits"])
    finally:
        pressed.set()
        first.join()
    assert [states(found) for found in answers] == [["succeeded"]]
    assert Trying.ran == ["waits"]


def test_an_active_job_stands_in_nobodys_way(owner):
    services.submit(user=owner, operation="note", items=["x"])
    assert states(try_out(owner, ["a"])) == ["succeeded"]


def test_a_connection_that_is_cut_is_nobodys_failure(owner, at):
    def cut(_):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    at("cut", cut)
    with pytest.raises(Error, match=r"terminating connection|closed"):
        try_out(owner, ["cut"])
    connection.close()
    assert nothing_kept()


# -- collecting


def test_an_operations_own_items_are_read_up_to_the_first_few(owner):
    Account.objects.bulk_create([Account(number=number) for number in range(8)])
    found = try_out(owner, operation="deposit", params={"amount": "5"})
    assert [one.item for one in found.tried] == list(Account.objects.order_by("pk").values_list("pk", flat=True)[:5])
    assert set(states(found)) == {"succeeded"}
    assert set(Account.objects.values_list("balance", flat=True)) == {0}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raise", "Collecting the items failed: ValueError: the source is gone"),
        ("unstorable", "Preparing failed: Item 1 cannot be stored as JSON."),
    ],
)
def test_why_collecting_would_fail_is_said(owner, how, words):
    found = try_out(owner, operation="collecting", params={"how": how})
    assert (found.tried, found.problem) == ([], words)
    assert run_for_real("collecting", params={"how": how}).error == words


def test_no_items_are_none(owner):
    found = try_out(owner, operation="collecting", params={"how": "nothing"})
    assert (found.items, found.tried, found.problem) == ([], [], "")


class Gathering(Trying):
    name = "gathering"
    way: ClassVar[Any] = None

    def items(self, params):
        yield from type(self).way()


@pytest.fixture
def gathering():
    register(Gathering)
    yield Gathering
    registry.unregister(Gathering.name)


def test_collecting_may_only_read(owner, gathering):
    def write():
        Effect.objects.create(item="while collecting")
        yield 1

    gathering.way = write
    found = try_out(owner, operation="gathering")
    assert "`items` writes to the database, and a dry run lets it only read" in found.why_not
    assert found.problem == ""
    assert nothing_kept()


def test_collecting_that_takes_long_ends_with_the_time(owner, gathering, settings):
    settings.BULKOPS = {"dry_run_seconds": 0.3}

    def dawdle():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")
        yield 1

    gathering.way = dawdle
    assert "The time that a dry run may take was over" in try_out(owner, operation="gathering").why_not


def test_an_invalid_item_that_was_collected_would_fail_the_job(owner, gathering, monkeypatch):
    monkeypatch.setattr(gathering, "Item", registry.get("rows").Item, raising=False)
    gathering.way = lambda: iter([{"number": 1}, {"number": "many"}])
    found = try_out(owner, operation="gathering")
    assert found.problem == "Preparing failed: 1 invalid item: item 1, number: Enter a whole number."
    assert Trying.ran == []


# -- who may


def test_who_may_not_submit_may_not_try(owner):
    with pytest.raises(NotPermitted):
        try_out(owner, ["a"], "guarded")
    with pytest.raises(InvalidParams):
        try_out(owner, ["a"], params={"colour": "red"})
    assert Trying.ran == []


def test_the_lock_of_a_user_is_a_number_that_postgresql_takes(owner):
    assert -(2**63) <= dry_run._lock_of(owner) < 2**63
    assert uncommitted.LOCK_SECONDS < 5
