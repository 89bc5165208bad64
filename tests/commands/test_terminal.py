"""What the commands share: texts that cannot steer a terminal, bars, tables and spans of time."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import OperationalError, ProgrammingError

from bulkops.management import terminal
from bulkops.management.commands import jobs
from tests.clusters import environment


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand tabs", "two lines and tabs"),
        ("\x1b[31mred", "\N{REPLACEMENT CHARACTER}[31mred"),
        ("right\u202eleft", "right\N{REPLACEMENT CHARACTER}left"),
        ("\x9b2J", "\N{REPLACEMENT CHARACTER}2J"),
        ("Ünïcödé 票", "Ünïcödé 票"),
        (None, "None"),
    ],
)
def test_nothing_that_a_terminal_would_obey_is_printed(text, shown):
    assert terminal.printable(text) == shown


@pytest.mark.parametrize(
    ("text", "width", "fits"),
    [("abc", 5, "abc"), ("abcdef", 3, "abc"), ("票票票", 5, "票票"), ("e\u0301e\u0301", 1, "e\u0301"), ("", 0, "")],
)
def test_a_line_is_cut_by_columns_and_not_by_characters(text, width, fits):
    assert terminal.fit(text, width) == fits


@pytest.mark.parametrize(("percent", "drawn"), [(0, "░░░░"), (24, "░░░░"), (25, "█░░░"), (99, "███░"), (100, "████")])
def test_a_bar_is_full_only_at_100(percent, drawn):
    assert terminal.bar(percent, 4) == drawn


def test_a_stream_without_blocks_gets_signs():
    assert terminal.bar(50, 4, plain=True) == "##--"
    assert terminal.writes_plain(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert not terminal.writes_plain(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))


def test_a_tables_columns_are_as_wide_as_their_widest_cell():
    drawn = terminal.table(("A", "LONG HEAD"), [("wide cell", "x"), ("y", "z\n")])
    assert drawn == "A          LONG HEAD\nwide cell  x\ny          z"


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (
            OperationalError("connection refused\nIs it there?"),
            4,
            "jobs: the database does not answer: connection refused",
        ),
        (ProgrammingError('relation "x" does not exist'), 4, "run manage.py migrate"),
        (KeyboardInterrupt(), 130, "jobs: interrupted"),
    ],
)
def test_what_is_nobodys_fault_is_one_line_too(run, monkeypatch, error, code, words):
    def fail(**_options):
        raise error

    monkeypatch.setattr(jobs.Command, "handle", lambda self, **options: fail(**options))
    ran = run("jobs")
    assert ran.code == code
    assert words in ran.complaint


def test_a_fault_of_our_own_keeps_its_traceback(run, monkeypatch):
    def fail(self, **_options):
        raise ZeroDivisionError

    monkeypatch.setattr(jobs.Command, "handle", fail)
    with pytest.raises(ZeroDivisionError):
        run("jobs")


def test_traceback_shows_where_a_refusal_came_from(run, db):
    with pytest.raises(terminal.WrongUse):
        run("jobs", "--user", "nobody", "--traceback")


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_reader_who_has_seen_enough_is_no_error():
    listing = subprocess.Popen(
        [sys.executable, "manage.py", "operations", "--json"],
        cwd=settings.BASE_DIR,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    listing.stdout.close()
    assert listing.wait(30) == 0
    assert listing.stderr.read() == ""
