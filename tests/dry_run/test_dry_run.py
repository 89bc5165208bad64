"""A dry run shows what a job would record of the first items, keeps nothing, and hangs nobody."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import close_old_connections, connection, transaction
from django.utils.functional import SimpleLazyObject

from bulkops import (
    InDoubt,
    NotPermitted,
    RetryAfter,
    register,
    registry,
    result_files,
    uploaded_files,
)
from bulkops.exceptions import InvalidParams
from bulkops.testing import run as run_for_real
from tests.dry_run.conftest import Trying, nothing_kept, raising, states, try_out
from tests.sample.models import Effect
from tests.sample.operations import Habits

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.mark.parametrize("opened", [{}, {"savepoint": False}])
def test_a_block_that_an_item_leaves_open_fails_it_and_costs_the_next_request_nothing(owner, at, opened):
    at("opens", lambda _: transaction.atomic(**opened).__enter__())
    found = try_out(owner, ["opens", "fine"])
    assert states(found) == ["failed", "succeeded"]
    assert "left a transaction open" in found.tried[0].message
    close_old_connections()
    assert nothing_kept()
    assert connection.get_autocommit()


def test_what_an_item_writes_while_its_result_is_made_storable_is_not_kept_either(owner, at):
    at("late", lambda _: SimpleLazyObject(lambda: str(Effect.objects.create(item="late").item)))
    found = try_out(owner, ["late"])
    assert [one.result for one in found.tried] == ["late"]
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


# -- who may


def test_who_may_not_submit_may_not_try(owner):
    with pytest.raises(NotPermitted):
        try_out(owner, ["a"], "guarded")
    with pytest.raises(InvalidParams):
        try_out(owner, ["a"], params={"colour": "red"})
    assert Trying.ran == []
