"""Running totals: counting locks nobody out, folding changes no total, and no reader sees half of it."""

from __future__ import annotations

from threading import Event, Thread

import pytest
from django.db import connection, transaction

from bulkops import tallies
from bulkops.histograms import Histogram
from bulkops.tallies import Count, Tally
from tests.elsewhere import elsewhere


def totals() -> dict[tuple[str, ...], tuple[list[int], int]]:
    """By name and labels."""
    with connection.cursor() as cursor:
        cursor.execute(tallies.TOTALS)
        return {(name, *labels): (counts, microseconds) for name, labels, counts, microseconds in cursor.fetchall()}


def count_some() -> None:
    tallies.add(Count("slice", ("note",), (1, 0, 2), 1_000_001), Count("rescue", ("note",), (1,)))
    tallies.add(Count("slice", ("note",), (0, 5, 1), 41), Count("slice", ("other",), (1, 1, 1), 3))
    tallies.add(Count("doubts", ("note",), (7,)), Count("doubts", ("note",), (-2,)))


SOME = {
    ("slice", "note"): ([1, 5, 3], 1_000_042),
    ("slice", "other"): ([1, 1, 1], 3),
    ("rescue", "note"): ([1], 0),
    ("doubts", "note"): ([5], 0),
}


def test_a_duration_is_counted_up_to_and_including_its_bound() -> None:
    measured = Histogram((0.1, 1.0))
    for seconds in (0.1, 0.1000001, 1.0, 1.1, 50):
        measured.observe(seconds)
    assert (measured.counts, measured.microseconds) == ([1, 2, 2], 52_300_000)


@pytest.mark.django_db
def test_what_is_counted_adds_up_place_by_place() -> None:
    count_some()
    assert totals() == SOME


@pytest.mark.django_db
def test_to_count_is_one_statement_and_nothing_is_none(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(1):
        tallies.add(*(Count("slice", ("note",), (1,)) for _ in range(3)))
    with django_assert_num_queries(0):
        tallies.add()


@pytest.mark.django_db
def test_folding_leaves_a_row_of_each_kind_and_every_total_as_it_was() -> None:
    count_some()
    assert tallies.fold(least=1)
    assert totals() == SOME
    assert Tally.objects.count() == len(SOME)
    assert tallies.fold(least=1)
    assert totals() == SOME


@pytest.mark.django_db
def test_few_rows_are_not_worth_folding() -> None:
    count_some()
    assert not tallies.fold()
    assert Tally.objects.count() == 6


@pytest.mark.django_db
def test_an_array_that_became_longer_is_added_as_far_as_it_goes() -> None:
    tallies.add(Count("slice", ("note",), (1, 2), 10), Count("slice", ("note",), (1, 1, 1), 5))
    assert totals() == {("slice", "note"): ([2, 3, 1], 15)}
    tallies.fold(least=1)
    assert totals() == {("slice", "note"): ([2, 3, 1], 15)}


@pytest.mark.django_db(transaction=True)
def test_nobody_who_counts_waits_for_another_or_for_who_folds() -> None:
    count_some()
    with elsewhere(connection) as other:
        other.execute("INSERT INTO bulkops_tally (name, labels, counts) VALUES ('rescue', '{note}', '{1}')")
        other.execute("DELETE FROM bulkops_tally WHERE name = 'doubts'")
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1s'")
        count_some()
        assert tallies.fold(least=1), "what others hold is left to a later time"
        other.execute("ROLLBACK")
        with connection.cursor() as cursor:
            cursor.execute("RESET lock_timeout")
    assert totals() == {key: ([2 * n for n in counts], 2 * micros) for key, (counts, micros) in SOME.items()}


@pytest.mark.django_db(transaction=True)
def test_no_total_ever_goes_back_while_others_count_and_fold() -> None:
    over = Event()

    def count_and_fold() -> None:
        try:
            for _ in range(60):
                with transaction.atomic():
                    tallies.add(Count("slice", ("note",), (1, 0), 333_333))
                tallies.fold(least=3)
        finally:
            connection.close()
            over.set()

    busy = [Thread(target=count_and_fold) for _ in range(2)]
    for one in busy:
        one.start()
    seen = [(0, 0)]
    while any(one.is_alive() for one in busy):
        for counts, microseconds in totals().values():
            seen.append((counts[0], microseconds))
    for one in busy:
        one.join()
    assert over.is_set()
    assert seen == sorted(seen)
    assert len(set(seen)) > 5, "it was never read in between"
    assert totals() == {("slice", "note"): ([120, 0], 120 * 333_333)}
