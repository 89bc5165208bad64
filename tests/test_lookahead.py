"""What an operation would find is told in bounded time, with nothing written, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from django.db import OperationalError, connection

from bulkops import Operation
from bulkops.lookahead import Ahead, look
from tests.sample.models import Account

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db


def finding(items: Callable[[], Any], **more: Any) -> Operation:
    """An operation whose `items` answers so."""
    return type("Finding", (Operation,), {"name": "finding", "items": lambda self, params: items(), **more})()


@pytest.fixture
def accounts() -> list[int]:
    made = Account.objects.bulk_create([Account(number=number) for number in range(7)])
    return sorted(account.pk for account in made)


def test_a_queryset_is_counted_and_its_first_rows_read(accounts: list[int]) -> None:
    ahead = look(finding(lambda: Account.objects.values_list("pk", flat=True)), {})
    assert ahead == Ahead(7, accounts[:5])


def test_models_are_shown_as_the_keys_that_are_stored(accounts: list[int]) -> None:
    assert look(finding(Account.objects.all), {}).head == accounts[:5]


@pytest.mark.parametrize("found", [[], range(0), {}])
def test_nothing_to_find_is_told_as_nothing(found: Any) -> None:
    assert look(finding(lambda: found), {}) == Ahead(0, [])


def test_a_list_is_measured() -> None:
    assert look(finding(lambda: range(1_204)), {}) == Ahead(1_204, [0, 1, 2, 3, 4])


def test_a_generator_is_left_to_the_worker() -> None:
    class Streaming(Operation):
        begun = False

        def items(self, params: dict[str, Any]) -> Any:
            type(self).begun = True
            yield 1

    assert look(Streaming(), {}) == Ahead()
    assert not Streaming.begun


def test_what_the_author_counts_is_asked_instead_of_items() -> None:
    def never() -> Any:
        raise AssertionError("items was called")

    counting = finding(never, count_items=lambda self, params: params["n"])
    assert look(counting, {"n": 12}) == Ahead(12)
    assert look(counting, {"n": None}) == Ahead()


@pytest.mark.parametrize("wrong", [-1, True, "many", 2.5])
def test_what_is_no_number_is_not_told(wrong: Any) -> None:
    assert look(finding(list, count_items=lambda self, params: wrong), {}) == Ahead()


def test_a_slow_count_is_given_up_and_the_connection_stays_good(settings: Any, accounts: list[int]) -> None:
    settings.BULKOPS = {"count_seconds": 0.02}
    slow = Account.objects.extra(where=["pg_sleep(30) IS NOT NULL"])
    assert look(finding(lambda: slow), {}) == Ahead()
    assert Account.objects.count() == len(accounts)


def test_the_limits_end_with_the_question(accounts: list[int]) -> None:
    look(finding(Account.objects.all), {})
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only'), current_setting('statement_timeout')")
        read_only, timeout = cursor.fetchone()
    assert (read_only, timeout) != ("on", "1s")
    Account.objects.create(number=99)


def test_items_that_write_are_refused_and_tell_nothing() -> None:
    assert look(finding(lambda: [Account.objects.create(number=1).pk]), {}) == Ahead()
    assert not Account.objects.exists()


@pytest.mark.parametrize("found", [[object()], ["x" * 70_000], None, 7])
def test_what_could_not_be_stored_has_no_first_rows(found: Any) -> None:
    assert look(finding(lambda: found), {}).head == []


def test_items_that_fail_tell_nothing() -> None:
    def fails() -> Any:
        raise ValueError("the archive is closed")

    assert look(finding(fails), {}) == Ahead()


def test_a_database_that_is_away_is_no_answer() -> None:
    away = mock.Mock(side_effect=OperationalError("server closed the connection unexpectedly"))
    with pytest.raises(OperationalError):
        look(finding(away), {})
