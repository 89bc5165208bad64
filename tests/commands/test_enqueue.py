"""`manage.py enqueue`: what it prints, where, and with which exit code."""

from __future__ import annotations

import io
import json
import os
import sys
from uuid import UUID

import pytest
from django.contrib.auth import get_user_model

from bulkops import manifests, registry
from bulkops.management.commands import enqueue
from bulkops.models import Job, Manifest
from bulkops.states import JobState
from tests.sample.models import Account

pytestmark = pytest.mark.django_db


def only_job():
    return Job.objects.get()


def test_prints_the_id_of_the_job_and_nothing_else(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines)
    assert ran.code == 0
    assert UUID(ran.out.strip()) == only_job().pk
    assert only_job().total == 3
    assert only_job().input_name == "three.txt"
    assert only_job().owner == owner


def test_warns_and_accepts_where_no_worker_lives(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines)
    assert ran.code == 0
    assert "No worker serves" in ran.complaint


@pytest.mark.django_db(transaction=True)
def test_says_nothing_beside_the_id_where_a_worker_lives(run, owner, lines, worker):
    assert run("enqueue", "note", "--user", "owner", "--items", lines).err == ""


def test_json_is_the_status_resource(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--json", "--name", "Spring")
    resource = json.loads(ran.out)
    assert resource["id"] == str(only_job().pk)
    assert (resource["state"], resource["total"], resource["name"]) == ("queued", 3, "Spring")


def test_parameters_reach_the_job(run, owner):
    Account.objects.create(number=1)
    ran = run("enqueue", "deposit", "--user", "owner", "--param", "amount=5", "--param", "pause=0.5", "--limit", 7)
    assert ran.code == 0
    assert only_job().params == {"amount": "5", "pause": "0.5"}
    assert only_job().limit == 7
    assert only_job().state == JobState.PREPARING


def test_a_value_may_hold_an_equals_sign(run, owner):
    user = get_user_model().objects.get(username="owner")
    user.is_superuser = True
    user.save()
    run("enqueue", "guarded", "--user", "owner", "--param", "token=a=b", "--items", os.devnull + ".txt")
    assert enqueue.parse_params(["token=a=b"], registry.get("guarded")) == {"token": "a=b"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.csv", "number,note\n1,one\n2,two\n"),
        ("rows.jsonl", '{"number": 1, "note": "one"}\n{"number": 2, "note": "two"}\n'),
        ("rows.json", '[{"number": 1, "note": "one"}, {"number": 2, "note": "two"}]'),
    ],
)
def test_each_kind_of_file_is_read(run, owner, tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content)
    assert run("enqueue", "rows", "--user", "owner", "--items", path).code == 0
    assert only_job().total == 2


def test_standard_input_is_lines_unless_told_otherwise(run, owner, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\nb\n")))
    assert run("enqueue", "note", "--user", "owner", "--items", "-").code == 0
    assert only_job().total == 2


def test_standard_input_is_read_in_the_format_given(run, owner, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"number\n1\n2\n3\n")))
    assert run("enqueue", "rows", "--user", "owner", "--items", "-", "--format", "csv").code == 0
    assert only_job().total == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense", "--user", "owner"], "no operation called “nonsense”"),
        (["note", "--user", "nobody", "--items", "FILE"], "no user “nobody”"),
        (["note", "--items", "FILE"], "--user"),
        (["note", "--user", "owner"], "needs items"),
        (["note", "--user", "owner", "--items", "/no/such.txt"], "cannot read /no/such.txt: No such file"),
        (["note", "--user", "owner", "--items", "/"], "cannot read /: Is a directory"),
        (
            ["note", "--user", "owner", "--items", "FILE", "--param", "colour=red"],
            "colour: This operation takes no such",
        ),
        (["note", "--user", "owner", "--items", "FILE", "--param", "colour"], "KEY=VALUE"),
        (["deposit", "--user", "owner", "--param", "amount=much"], "amount: Enter a whole number"),
        (["deposit", "--user", "owner", "--param", "amount=1", "--param", "amount=2"], "takes one value"),
        (["note", "--user", "owner", "--items", "FILE", "--limit", "0"], "limit must be at least 1"),
        (["note", "--user", "owner", "--items", "FILE", "--limit", "some"], "invalid int value"),
        (["note", "--user", "owner", "--items", "FILE", "--parallelism", "9"], "parallelism must be between 1 and 4"),
        (
            ["note", "--user", "owner", "--items", "FILE", "--per-second", "0"],
            "A speed limit is a number of items per second, from 0.001",
        ),
        (["note", "--user", "owner", "--items", "FILE", "--per-second", "fast"], "invalid float value"),
        (
            ["refund-orders", "--user", "payer", "--items", "FILE", "--per-second", "99"],
            "limited to 25 items per second",
        ),
        (["note", "--user", "owner", "--items", "FILE", "--format", "csv"], "--format is for `--items -`"),
        (["note", "--user", "owner", "--items", "FILE", "--idempotency-key", "a b"], "1 to 255 visible"),
        (["guarded", "--user", "owner", "--items", "FILE"], "may not run “Guarded”"),
        (["rows", "--user", "owner", "--items", "FILE"], "items have fields"),
        (["note", "--user", "owner", "--items", "FILE", "--colour"], "unrecognized arguments"),
        (["note", "--user", "owner", "--map", "a=b"], "speak of the file that --items names"),
        (["note", "--user", "owner", "--items", "FILE", "--map", "a=b"], "--map is for CSV"),
        (
            ["note", "--user", "owner", "--items", "FILE", "--map", "number"],
            "reads COLUMN=FIELD, not “number”",
        ),
        (["note", "--user", "owner", "--items", "FILE", "--encoding", "klingon"], "invalid choice: 'klingon'"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(run, owner, person, lines, arguments, words):
    person("payer", "ticketing.change_order")
    ran = run("enqueue", *[str(lines) if argument == "FILE" else argument for argument in arguments])
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.complaint
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"number,note\n1\n", "Line 2"),
        ("a.csv", b"note\nx\n", 'lacks 1 column: number (found: note). To say which one it is: --map "COLUMN=number"'),
        ("a.csv", b"number,note\nmany,x\n", "Item 0, number"),
        ("a.csv", b"", "empty"),
        ("a.csv", b"number,note\n1,Zo\xc3\xab\n2,\xff\n", "not UTF-8"),
        ("a.json", b'{"number": 1}', "must be a list"),
        ("a.xls", b"", "not .xls"),
    ],
)
def test_a_bad_file_is_one_line_and_exit_2(run, owner, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    ran = run("enqueue", "rows", "--user", "owner", "--items", tmp_path / name)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.complaint


def test_a_second_job_is_refused_with_the_running_ones_id(run, owner, lines):
    first = run("enqueue", "note", "--user", "owner", "--items", lines)
    second = run("enqueue", "note", "--user", "owner", "--items", lines)
    assert second.code == 3
    assert second.out == first.out
    assert "owner has an active job" in second.complaint
    assert Job.objects.count() == 1


def test_a_spent_key_answers_with_its_job(run, owner, lines):
    arguments = ("enqueue", "note", "--user", "owner", "--items", lines, "--idempotency-key", "once")
    first, second = run(*arguments), run(*arguments)
    assert (first.code, second.code) == (0, 0)
    assert first.out == second.out
    assert "used before" in second.err


def test_a_spent_key_with_other_items_is_refused(run, owner, lines):
    arguments = ("enqueue", "note", "--user", "owner", "--items", lines, "--idempotency-key", "once")
    run(*arguments)
    ran = run(*arguments, "--limit", 1)
    assert ran.code == 2
    assert "different submission" in ran.complaint


@pytest.fixture
def export(tmp_path):
    """A spreadsheet's export: semicolons, an old encoding, headings of its own."""
    path = tmp_path / "export.csv"
    path.write_bytes("Ticket=No;Note;Stra\u00dfe\n7;Z\u00fcrich;Stra\u00dfe 1\n8;K\u00f6ln;Weg 2\n".encode("cp1252"))
    return path


def test_a_column_is_taken_as_the_field_that_the_person_says(run, owner, export):
    ran = run("enqueue", "rows", "--user", "owner", "--items", export, "--map", "Ticket=No=number")
    assert ran.code == 0
    assert manifests.decode(Manifest.objects.get().payload)[0] == {
        "number": "7",
        "note": "Zürich",
        "Straße": "Straße 1",
    }


def test_a_dry_run_tells_how_the_input_was_read(run, owner, export):
    arguments = ("enqueue", "rows", "--user", "owner", "--items", export, "--map", "ticket=no=number", "--dry-run")
    assert run(*arguments).out.splitlines()[:5] == [
        "Would be accepted: rows with 2 items.",
        "Read as Windows-1252, separated by semicolons.",
        "The encoding is a guess: look whether all letters are right.",
        "Column “Ticket=No” is taken as number.",
        "Kept with the items, but not used: “Straße”.",
    ]
    assert json.loads(run(*arguments, "--json").out)["reading"] == {
        "format": "csv",
        "encoding": "cp1252",
        "encoding_assumed": True,
        "delimiter": ";",
        "columns": {"Ticket=No": "number", "Note": "note"},
        "unused_columns": ["Straße"],
    }


def test_the_encoding_that_the_person_says_is_no_guess(run, owner, export):
    arguments = ("--map", "ticket=no=number", "--encoding", "cp1250", "--dry-run")
    ran = run("enqueue", "rows", "--user", "owner", "--items", export, *arguments)
    assert ran.out.splitlines()[1] == "Read as Windows-1250, separated by semicolons."
    assert "guess" not in ran.out


def test_a_speed_limit_reaches_the_job(run, owner, lines):
    assert run("enqueue", "note", "--user", "owner", "--items", lines, "--per-second", "2.5").code == 0
    assert only_job().rate_per_second == 2.5
