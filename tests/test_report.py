"""The report: every item in input order with what became of it, safe to open, and never more in memory than a page."""

from __future__ import annotations

import json
import tracemalloc
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from bulkops import retention, services
from bulkops.exceptions import InvalidReport, ReportBroken
from bulkops.models import Job, Manifest, Outcome
from bulkops.report import INCOMPLETE, STATES, Report, Wanted, columns, file_name, read_states
from bulkops.report import rows as report_rows
from bulkops.states import JobState
from tests.reports import OURS, parsed, rows, stored, written

pytestmark = pytest.mark.django_db

EVERY_FATE = {
    0: {"state": "succeeded", "attempt": 1, "result": {"id": 7}},
    1: {"state": "skipped", "message": "no such account"},
    2: {"state": "failed", "attempt": 3, "error_code": "ValueError", "message": "ValueError: too low"},
    3: {"state": "in_doubt", "error_code": "in-doubt", "message": "cut off"},
    4: {"state": "deferred", "attempt": 2, "error_code": "Passing", "message": "later"},
}


# -- what a row is


def test_every_item_stands_in_input_order_with_its_own_columns_and_its_fate(owner):
    items = [{"code": f"C{n}", "price": n} for n in range(7)]
    job = stored(owner, items, EVERY_FATE, state=JobState.RUNNING)
    found = rows(job)
    assert list(found[0]) == ["position", "code", "price", *OURS[1:]]
    assert [row["position"] for row in found] == [str(n) for n in range(7)]
    assert [row["code"] for row in found] == [f"C{n}" for n in range(7)]
    assert [row["state"] for row in found] == [
        "succeeded",
        "skipped",
        "failed",
        "in_doubt",
        "deferred",
        "unprocessed",
        "unprocessed",
    ]
    assert json.loads(found[0]["result"]) == {"id": 7}
    assert (found[2]["attempts"], found[2]["error_code"], found[2]["message"]) == (
        "3",
        "ValueError",
        "ValueError: too low",
    )
    assert (found[6]["attempts"], found[6]["finished_at"], found[6]["result"]) == ("0", "", "")


def test_moments_are_utc_in_the_form_that_programs_read(owner):
    at = timezone.datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=timezone.get_fixed_timezone(120))
    job = stored(owner, ["a"], {0: {"state": "succeeded", "finished_at": at}})
    assert rows(job)[0]["finished_at"] == "2026-03-01T10:00:00.000005Z"


def test_items_without_fields_have_one_column(owner):
    found = rows(stored(owner, ["a", 5, True, None, [1, "b"]]))
    assert [row["item"] for row in found] == ["a", "5", "true", "", '[1, "b"]']


def test_a_nested_value_is_json_text(owner):
    (row,) = rows(stored(owner, [{"who": {"name": "Ünal", "ids": [1, 2]}, "none": None, "flag": False}]))
    assert json.loads(row["who"]) == {"name": "Ünal", "ids": [1, 2]}
    assert (row["none"], row["flag"]) == ("", "false")


def test_the_header_is_the_union_of_all_columns_as_they_are_first_seen(owner, settings):
    settings.BULKOPS = {"chunk_items": 2}
    items = [{"b": 1}, {"b": 2}, {"a": 3, "b": 4}, {"c": 5}, {"a": 6}, "plain"]
    found = rows(stored(owner, items))
    assert list(found[0])[1:5] == ["b", "a", "c", "item"]
    assert [(row["b"], row["a"], row["c"], row["item"]) for row in found] == [
        ("1", "", "", ""),
        ("2", "", "", ""),
        ("4", "3", "", ""),
        ("", "", "5", ""),
        ("", "6", "", ""),
        ("", "", "", "plain"),
    ]


def test_column_names_longer_than_a_look_at_the_beginning_are_found(owner):
    item = {f"{n:04d}" + "x" * 50: "v" for n in range(200)}
    assert list(rows(stored(owner, [item]))[0])[1:201] == list(item)


def test_an_input_column_that_is_called_like_one_of_ours_is_told_by_its_prefix(owner):
    item = {"state": "open", "Message": "hi", " result ": "r", "input.state": "s", "job": "j", "item": "i"}
    (row,) = rows(stored(owner, [item]))
    assert row["state"] == "succeeded"
    assert row["message"] == ""
    given = {"input.state": "open", "input.Message": "hi", "input. result ": "r", "input.input.state": "s"}
    assert given | {"input.job": "j", "item": "i"} == {name: row[name] for name in row if name not in OURS}


def test_items_of_too_many_different_fields_are_json_each(owner, monkeypatch):
    monkeypatch.setattr(columns, "MOST", 3)
    found = rows(stored(owner, [{f"field{n}": n} for n in range(5)]))
    assert list(found[0])[:3] == ["position", "item", "state"]
    assert [json.loads(row["item"]) for row in found] == [{f"field{n}": n} for n in range(5)]


def test_a_job_without_items_has_a_header_only(owner):
    assert written(stored(owner, [])) == ",".join(OURS) + "\r\n"


def test_a_job_that_is_still_collecting_says_what_it_has(owner):
    job = stored(owner, ["a", "b"], {}, state=JobState.PREPARING, collects=True)
    Job.objects.filter(pk=job.pk).update(total=None)
    assert [(row["item"], row["state"]) for row in rows(job)] == [("a", "unprocessed"), ("b", "unprocessed")]


def test_a_result_that_was_cut_says_so(owner, settings):
    settings.BULKOPS = {"result_bytes": 100}
    job = stored(owner, ["a"], {0: {"state": "succeeded", "result": {"truncated": "xx", "bytes": 999}}})
    assert json.loads(rows(job)[0]["result"]) == {"truncated": "xx", "bytes": 999}


def test_secrets_among_the_parameters_never_occur(person):
    trusted = person("trusted", "sample.change_account")
    job = services.submit(user=trusted, operation="guarded", items=["a"], params={"token": "hush"})
    assert "hush" not in written(job)


# -- which items


@pytest.mark.parametrize("state", STATES)
def test_a_state_narrows_the_report(owner, settings, state):
    settings.BULKOPS = {"chunk_items": 2}
    job = stored(owner, range(7), EVERY_FATE, state=JobState.RUNNING)
    everything = rows(job)
    assert rows(job, states=frozenset({state})) == [row for row in everything if row["state"] == state]
    assert state in {row["state"] for row in everything}


def test_several_states_may_be_named(owner):
    job = stored(owner, range(7), EVERY_FATE, state=JobState.RUNNING)
    found = rows(job, states=read_states(["failed,in_doubt", "unprocessed", ""]))
    assert [row["position"] for row in found] == ["2", "3", "5", "6"]


def test_what_waited_for_another_try_when_its_job_ended_is_unprocessed(owner):
    job = stored(owner, range(7), EVERY_FATE, state=JobState.CANCELLED)
    found = rows(job, states=frozenset({"unprocessed"}))
    assert [(row["position"], row["attempts"], row["message"]) for row in found] == [
        ("4", "2", "later"),
        ("5", "0", ""),
        ("6", "0", ""),
    ]
    assert rows(job, states=frozenset({"deferred"})) == []


@pytest.mark.parametrize("state", ["nonsense", "Failed", "succeeded;failed", "a\x00b"])
def test_a_state_that_is_none_is_refused_in_words(state):
    with pytest.raises(InvalidReport, match=r"There is no state “.*” of an item. There are succeeded, .*unprocessed"):
        read_states([state])


def test_the_chunks_without_such_items_are_not_read(owner, settings, django_assert_num_queries):
    settings.BULKOPS = {"chunk_items": 10}
    job = stored(owner, range(200), {n: {"state": "failed" if n == 55 else "succeeded"} for n in range(200)})
    report = Report(job, Wanted(states=frozenset({"failed"})))
    with django_assert_num_queries(4):  # chunks, one manifest, one page of outcomes, is the job still there
        assert len(parsed(b"".join(report.blocks()).decode())) == 1


# -- how it is read


@pytest.fixture
def committed(transactional_db):
    """Rows that other connections see; outside any transaction, as a request is."""


def test_queries_grow_with_the_chunks_and_stay_small(owner):
    def queries(count):
        job = stored(owner, range(count))
        with CaptureQueriesContext(connection) as asked:
            assert len(rows(job)) == count
        return len(asked)

    few, more, most = (queries(count) for count in (1_000, 2_000, 5_000))
    a_chunk = 1 + 1_000 // report_rows.PAGE
    assert (more - few, most - few) == (a_chunk, 4 * a_chunk)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_job(owner):
    def peak(job):
        tracemalloc.start()
        try:
            size = sum(len(block) for block in Report(job, Wanted()).blocks())
            return tracemalloc.get_traced_memory()[1], size
        finally:
            tracemalloc.stop()

    item = "x" * 40
    small, large = (stored(owner, (f"{item}{n}" for n in range(count))) for count in (5_000, 50_000))
    peak(small)  # what is read once for the process
    (small_peak, small_size), (large_peak, large_size) = peak(small), peak(large)
    assert large_size > 9 * small_size
    assert large_peak < small_peak * 2
    assert large_peak < large_size / 4


def test_nothing_stays_open_between_two_blocks(committed, owner, monkeypatch):
    monkeypatch.setattr("bulkops.report.document.BLOCK_CHARS", 100)
    job = stored(owner, range(2_500))
    blocks = Report(job, Wanted()).blocks()
    with connection.cursor() as cursor:
        for _ in range(3):
            next(blocks)
            assert connection.connection.get_transaction_status() == TRANSACTION_STATUS_IDLE
            cursor.execute("SELECT count(*) FROM pg_cursors")
            assert cursor.fetchone() == (0,)
    blocks.close()


@pytest.mark.parametrize("how", ["half", "all"])
def test_a_job_that_is_deleted_meanwhile_breaks_the_report_off(committed, owner, how):
    long_ago = timezone.now() - timedelta(days=100)
    job = stored(owner, range(5_000), created_at=long_ago, finished_at=long_ago)
    blocks = Report(job, Wanted()).blocks()
    first = next(blocks)
    if how == "half":  # as far as a run of the night that was interrupted after its first statements
        Job.objects.filter(pk=job.pk).update(pruned_at=timezone.now())
        Outcome.objects.filter(job_id=job.pk, position__gte=3_000).delete()
    else:
        assert retention.prune().jobs == 1
    rest = []
    with pytest.raises(ReportBroken):
        rest.extend(iter(lambda: next(blocks), None))
    assert parsed((first + b"".join(rest)).decode())[-1]["position"] == INCOMPLETE


def test_items_collected_anew_meanwhile_break_the_report_off(owner):
    job = stored(owner, ["a"], {}, state=JobState.PREPARING, collects=True)
    blocks = Report(job, Wanted()).blocks()
    Job.objects.filter(pk=job.pk).update(prepare_epoch=job.prepare_epoch + 1)
    assert INCOMPLETE in next(blocks).decode()
    with pytest.raises(ReportBroken):
        next(blocks)


@pytest.mark.parametrize("gone", ["missing", "damaged"])
def test_items_that_cannot_be_read_break_the_report_off(owner, settings, gone):
    settings.BULKOPS = {"chunk_items": 2}
    job = stored(owner, ["a", "b", "c"])
    blocks = Report(job, Wanted()).blocks()
    second = Manifest.objects.filter(job=job, number=1)
    second.delete() if gone == "missing" else second.update(payload=b"no such thing")
    found = parsed(next(blocks).decode())
    assert [row["position"] for row in found] == ["0", "1", INCOMPLETE]
    with pytest.raises(Exception, match=r"deleted|header check"):
        next(blocks)


# -- the file's name


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("Autumn prices", "Autumn prices"),
        ("", "note"),
        ("Grüße: Frühling/2026", "Grüße-Frühling-2026"),
        ("../../etc/passwd", "etc-passwd"),
        ('a"b\r\nX-Evil: 1', "a-b-X-Evil-1"),
        ("\u202egpj.exe", "gpj.exe"),
        ("😀", "report"),
        (".hidden", "hidden"),
        ("x" * 200, "x" * 50),
        ("नमस्ते", "नमस्ते"),
    ],
)
def test_the_files_name_is_the_jobs_without_what_a_file_system_trips_over(name, file):
    job = Job(name=name, operation="note")
    assert file_name(job, Wanted()) == f"{file}-{str(job.pk)[-8:]}.csv"


def test_the_files_name_says_what_is_in_it():
    job = Job(operation="note")
    wanted = Wanted(states=frozenset({"unprocessed", "failed"}), folded=True)
    assert file_name(job, wanted).endswith("-failed-unprocessed-with-retries.csv")
