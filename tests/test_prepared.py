"""A prepared query: planned once on a session that is ours, asked in full wherever it may not be there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import monotonic

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from bulkops import prepared, snapshots
from bulkops.prepared import PreparedQuery
from bulkops.states import JobState

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def query():
    connection.ensure_connection()
    yield PreparedQuery("sum", "SELECT %s + 1, '50%%'", ["int"])
    connection.close()


def asked(query, value=1):
    """What was sent for an answer that is right."""
    with CaptureQueriesContext(connection) as sent:
        assert query.fetchone([value]) == (value + 1, "50%")
    return [one["sql"].split()[0] for one in sent.captured_queries]


def plans(query):
    """How often the server planned it for these values alone, and once for all values."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE name = %s", [query.name])
        return cursor.fetchone()


def test_it_is_prepared_once_on_each_connection(query):
    assert asked(query) == ["PREPARE", "EXECUTE"]
    assert asked(query, 41) == ["EXECUTE"]
    connection.close()
    assert asked(query) == ["PREPARE", "EXECUTE"]


def test_the_server_plans_it_no_more_after_some_times(query):
    for value in range(12):
        asked(query, value)
    custom, generic = plans(query)
    assert custom + generic == 12
    assert generic >= 6


def test_within_a_transaction_it_is_asked_in_full(query):
    asked(query)
    with transaction.atomic():
        assert asked(query) == ["SELECT"]
    connection.set_autocommit(False)
    try:
        assert asked(query) == ["SELECT"]
    finally:
        connection.rollback()
        connection.set_autocommit(True)


@pytest.mark.parametrize("given", [{"DISABLE_SERVER_SIDE_CURSORS": True}, {"CONN_MAX_AGE": 0}])
def test_where_no_session_is_kept_it_is_asked_in_full(query, given, monkeypatch):
    for name, value in given.items():
        monkeypatch.setitem(connection.settings_dict, name, value)
    assert asked(query) == ["SELECT"]
    assert plans(query) is None


def test_a_session_that_lost_it_is_asked_in_full_and_so_are_all_from_then_on(query, caplog):
    asked(query)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert asked(query)[-1] == "SELECT"
    assert asked(query) == ["SELECT"]
    connection.close()
    assert asked(query) == ["SELECT"]
    assert caplog.text.count("event=prepared_query_lost") == 1


def test_a_session_on_which_somebody_has_prepared_it_is_asked_in_full(query):
    with connection.cursor() as another_client:
        another_client.execute(f"PREPARE {query.name} (int) AS SELECT $1 + 1, '50%'")
    assert asked(query)[-1] == "SELECT"


def test_two_threads_that_are_the_first_to_ask_at_the_same_time_lose_nothing(job_in, caplog, monkeypatch):
    job, both = job_in(JobState.RUNNING), Barrier(2)
    snapshots._compiled.cache_clear()

    def made_by_both(*of):
        both.wait(10)
        return PreparedQuery(*of)

    def look():
        try:
            return [snapshots.of(job.pk) for _ in range(2)]
        finally:
            connection.close()

    monkeypatch.setattr(snapshots, "PreparedQuery", made_by_both)
    with ThreadPoolExecutor(2) as threads:
        looks = [threads.submit(look) for _ in range(2)]
        assert all(all(one.result()) for one in looks)
    assert "event=prepared_query_lost" not in caplog.text


def test_a_plan_that_was_made_for_a_small_table_does_not_last(monkeypatch):
    query = PreparedQuery("grown", "SELECT value FROM growing WHERE value = %s", ["int"])
    with connection.cursor() as cursor:

        def plan():
            cursor.execute(f"EXPLAIN EXECUTE {query.name} (1)")
            return cursor.fetchone()[0]

        cursor.execute("CREATE TEMPORARY TABLE growing AS SELECT 1 AS value")
        cursor.execute("CREATE INDEX ON growing (value)")
        cursor.execute("ANALYZE growing")
        for _ in range(8):
            query.fetchone([1])
        cursor.execute("INSERT INTO growing SELECT generate_series(2, 20000)")
        query.fetchone([1])
        assert plan().startswith("Seq Scan")
        later = monotonic() + prepared.PLAN_SECONDS
        monkeypatch.setattr(prepared, "monotonic", lambda: later)
        assert query.fetchone([1]) == (1,)
        assert not plan().startswith("Seq Scan")
    connection.close()


def test_a_column_that_a_migration_has_changed_is_read_all_the_same_and_prepared_anew(caplog):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE changing AS SELECT 1 AS value")
        query = PreparedQuery("value", "SELECT value FROM changing WHERE value = %s", ["int"])
        assert query.fetchone([1]) == (1,)
        cursor.execute("ALTER TABLE changing ALTER value TYPE bigint")
    assert query.fetchone([1]) == (1,)
    with CaptureQueriesContext(connection) as sent:
        assert query.fetchone([1]) == query.fetchone([1]) == (1,)
    assert [one["sql"].split()[0] for one in sent] == ["DEALLOCATE", "PREPARE", "EXECUTE", "EXECUTE"]
    assert "event=prepared_query_lost" not in caplog.text
    connection.close()


def test_another_text_has_another_name(query):
    assert PreparedQuery("sum", "SELECT %s + 2", ["int"]).name != query.name


def test_an_error_of_the_query_itself_is_raised_and_loses_nothing(query):
    divided = PreparedQuery("quotient", "SELECT 1 / %s", ["int"])
    with pytest.raises(Exception, match="division by zero"):
        divided.fetchone([0])
    assert divided.fetchone([1]) == (1,)
    with CaptureQueriesContext(connection) as sent:
        divided.fetchone([1])
    assert sent.captured_queries[0]["sql"].startswith("EXECUTE")


def test_what_a_card_asks_is_planned_once(job_in):
    job = job_in(JobState.RUNNING)
    connection.close()  # of whose plans nothing is known
    for _ in range(8):
        assert snapshots.of(job.pk)
    custom, generic = plans(snapshots._compiled().query)
    assert (custom, generic) == (5, 3)
