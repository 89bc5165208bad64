"""Latencies of web processes: measured without a query, stored after a response, at most every few seconds."""

from __future__ import annotations

import math
import threading

import pytest
from django.core.signals import request_finished
from django.db import connection, transaction
from django.http import HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext

from bulkops import latencies, services, tallies
from bulkops.histograms import REQUEST_SECONDS
from bulkops.latencies import POLL, Latencies, timed
from bulkops.tallies import Tally

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(latencies, "STORE_SECONDS", 0.0)


def stored() -> int:
    """How many requests."""
    return sum(sum(counts) for counts in Tally.objects.values_list("counts", flat=True))


def test_measuring_asks_the_database_nothing(rf: RequestFactory):
    view = timed(POLL, "page")(lambda _request: HttpResponse())
    with CaptureQueriesContext(connection) as asked:
        for _ in range(10):
            view(rf.get("/"))
    assert len(asked) == 0


def test_only_the_named_method_is_measured_and_an_error_too(rf: RequestFactory, at_once):
    def view(request):
        if request.method == "POST":
            raise ZeroDivisionError
        return HttpResponse()

    measured = timed("submit", "page", method="POST")(view)
    measured(rf.get("/"))
    with pytest.raises(ZeroDivisionError):
        measured(rf.post("/"))
    connection.ensure_connection()
    request_finished.send(None)
    assert stored() == 1


def test_the_first_seconds_are_stored_by_nobody_and_then_all_at_once(client, owner, monkeypatch):
    client.force_login(owner)
    job = services.submit(user=owner, operation="note", items=["a"])
    monkeypatch.setattr(latencies, "STORE_SECONDS", math.inf)
    for _ in range(3):
        client.get(f"/jobs/{job.pk}/progress/")
    assert stored() == 0
    latencies._latencies._store_at = 0.0
    with CaptureQueriesContext(connection) as asked:
        client.get(f"/jobs/{job.pk}/progress/")
    assert stored() == 4
    # And the first time, how many rows there are to be folded.
    assert len([one for one in asked if "bulkops_tally" in one["sql"]]) == 2


def test_nothing_is_stored_in_a_transaction_that_may_be_rolled_back(at_once):
    mine = Latencies()
    mine.observe(POLL, "page", 0.01)
    with transaction.atomic():
        mine.store_if_due()
        assert stored() == 0
    mine.store_if_due()
    assert stored() == 1


def test_no_connection_is_made_for_it(at_once):
    mine = Latencies()
    mine.observe(POLL, "page", 0.01)
    connection.close()
    mine.store_if_due()
    assert connection.connection is None
    connection.ensure_connection()
    mine.store_if_due()
    assert stored() == 1


def test_a_database_that_is_away_costs_a_few_seconds_of_counts_and_no_request(at_once):
    mine = Latencies()
    mine.observe(POLL, "page", 0.01)
    connection.ensure_connection()
    connection.connection.close()
    mine.store_if_due()
    connection.close()
    assert stored() == 0
    mine.observe(POLL, "page", 0.01)
    connection.ensure_connection()
    mine.store_if_due()
    assert stored() == 1


def test_threads_that_measure_and_store_at_once_lose_and_double_nothing(at_once):
    mine = Latencies()

    def work():
        try:
            connection.ensure_connection()
            for _ in range(200):
                mine.observe(POLL, "page", 0.01)
                mine.store_if_due()
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    mine.store_if_due()
    assert stored() == 800


def test_what_several_processes_stored_is_one_total(at_once):
    connection.ensure_connection()
    for _ in range(3):
        process = Latencies()
        process.observe(POLL, "page", 0.004)
        process.store_if_due()
    with connection.cursor() as cursor:
        cursor.execute(tallies.TOTALS)
        (row,) = cursor.fetchall()
    assert row == (POLL, ["page"], [0, 3, *[0] * (len(REQUEST_SECONDS) - 1)], 12_000)
