"""What an operation collects by itself is read and cleaned as a job would, and nothing else."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from django.db import connection

from bulkops import (
    register,
    registry,
)
from bulkops.testing import run as run_for_real
from tests.dry_run.conftest import Trying, nothing_kept, states, try_out
from tests.sample.models import Account, Effect

pytestmark = pytest.mark.django_db(transaction=True)


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
