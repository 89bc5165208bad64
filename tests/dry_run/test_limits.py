"""A dry run hangs nobody: waits for rows end, the time ends, and a user has one at a time."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import Error, connection, transaction

from bulkops import (
    dry_run,
    services,
)
from bulkops.engine import uncommitted
from bulkops.exceptions import DryRunBusy
from tests.clusters import wait_for
from tests.dry_run.conftest import Trying, nothing_kept, states, try_out
from tests.elsewhere import elsewhere
from tests.sample.models import Account, Effect

pytestmark = pytest.mark.django_db(transaction=True)


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


@pytest.mark.slow
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


def test_the_lock_of_a_user_is_a_number_that_postgresql_takes(owner):
    assert -(2**63) <= dry_run._lock_of(owner) < 2**63
    assert uncommitted.LOCK_SECONDS < 5
