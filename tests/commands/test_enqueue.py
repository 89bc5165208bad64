"""`manage.py enqueue`: what it prints, where, and with which exit code."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from uuid import UUID

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection

from bulkops import dry_run, manifests, progress, registry, services
from bulkops.management import watching
from bulkops.management.commands import enqueue
from bulkops.models import Event, Job, Manifest, Outcome
from bulkops.states import JobState
from tests.clusters import environment, wait_for
from tests.elsewhere import elsewhere
from tests.sample.models import Account, Effect

pytestmark = pytest.mark.django_db


@pytest.fixture
def lines(tmp_path):
    """A file of three items."""
    path = tmp_path / "three.txt"
    path.write_text("a\nb\nc\n")
    return path


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


def test_a_dry_run_tells_count_and_first_outcomes_and_stores_nothing(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "Would be accepted: note with 3 items.",
        "Tried the first 3 and kept nothing:",
        "POSITION  ITEM  OUTCOME    WHAT IT SAYS",
        '0         "a"   succeeded  {"item": "a"}',
        '1         "b"   succeeded  {"item": "b"}',
        '2         "c"   succeeded  {"item": "c"}',
    ]
    assert not Job.objects.exists()
    assert not Event.objects.exists()
    assert not Effect.objects.exists()


def test_a_dry_run_ends_with_0_also_where_items_fail_since_the_job_would_be_accepted(run, owner, tmp_path):
    (tmp_path / "mixed.txt").write_text("fine\nraise\nskip\n")
    arguments = ("enqueue", "habits", "--user", "owner", "--items", tmp_path / "mixed.txt", "--dry-run")
    ran = run(*arguments)
    assert ran.code == 0
    assert [line.split()[2] for line in ran.out.splitlines()[3:]] == ["succeeded", "failed", "skipped"]
    assert "ValueError: this item is bad" in ran.out
    answer = json.loads(run(*arguments, "--json").out)
    assert [one["state"] for one in answer["outcomes"]] == ["succeeded", "failed", "skipped"]
    assert answer["outcomes"][1] == {
        "position": 1,
        "item": "raise",
        "state": "failed",
        "result": None,
        "error_code": "ValueError",
        "message": "ValueError: this item is bad",
        "said": "",
    }
    assert (answer["not_run"], answer["problem"]) == (None, None)


def test_a_long_item_of_a_dry_run_ends_with_a_sign_that_there_is_more(run, owner, tmp_path):
    (tmp_path / "long.txt").write_text(f"{'x' * 38}\n{'y' * 39}\n")
    ran = run("enqueue", "note", "--user", "owner", "--items", tmp_path / "long.txt", "--dry-run")
    assert f'"{"x" * 38}"  succeeded' in ran.out
    assert f'"{"y" * 38}…  succeeded' in ran.out


def test_a_dry_run_honours_the_limit(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--limit", 2, "--dry-run", "--json")
    assert [one["item"] for one in json.loads(ran.out)["outcomes"]] == ["a", "b"]


@pytest.mark.django_db(transaction=True)
def test_a_dry_run_outside_transactions_shows_the_items_and_why_they_were_not_run(run, owner, lines):
    ran = run("enqueue", "note-outside", "--user", "owner", "--items", lines, "--dry-run")
    assert ran.code == 0
    _, why, *items = ran.out.splitlines()
    assert "works outside transactions" in why
    assert items == ['  "a"', '  "b"', '  "c"']
    assert not Effect.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_second_dry_run_of_the_same_user_is_refused_for_now(run, owner, lines):
    with elsewhere() as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [dry_run._lock_of(owner)])
        ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--dry-run")
    assert (ran.code, ran.out) == (4, "")
    assert "wait until it has ended" in ran.complaint


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


def test_a_dry_run_is_refused_as_the_submission_would_be(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--limit", 0, "--dry-run")
    assert ran.code == 2


def test_a_dry_run_makes_no_job_to_wait_for(run, owner, lines):
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--dry-run", "--wait")
    assert (ran.code, ran.complaint) == (2, "enqueue: --dry-run makes no job to --wait for")


def test_a_dry_run_hides_secrets(run, person, lines):
    person("trusted", "sample.change_account")
    arguments = ("--user", "trusted", "--items", lines, "--param", "token=hush", "--dry-run", "--json")
    ran = run("enqueue", "guarded", *arguments)
    assert "hush" not in ran.out
    assert json.loads(ran.out)["params"] == {"token": "•••"}
    assert json.loads(ran.out)["total"] == 3


def test_a_dry_run_says_why_collecting_would_fail(run, owner):
    ran = run("enqueue", "collecting", "--user", "owner", "--param", "how=raise", "--limit", 5, "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "Would be accepted: collecting; a worker collects its items, 5 at most.",
        "The job would fail before its first item. Collecting the items failed: ValueError: the source is gone",
    ]


def test_a_dry_run_of_nothing_says_so(run, owner):
    ran = run("enqueue", "collecting", "--user", "owner", "--param", "how=nothing", "--dry-run")
    assert ran.out.splitlines()[1:] == ["There are no items."]


def test_a_speed_limit_reaches_the_job(run, owner, lines):
    assert run("enqueue", "note", "--user", "owner", "--items", lines, "--per-second", "2.5").code == 0
    assert only_job().rate_per_second == 2.5


def test_a_dry_run_mentions_the_active_job(run, owner, lines):
    job = services.submit(user=owner, operation="note", items=["x"])
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--dry-run")
    assert ran.code == 0
    assert str(job.pk) in ran.complaint


def test_a_terminal_is_never_steered_by_an_item(run, owner, tmp_path):
    (tmp_path / "a.txt").write_text("\x1b[2Jgone\n")
    ran = run("enqueue", "note", "--user", "owner", "--items", tmp_path / "a.txt", "--dry-run")
    assert "\x1b" not in ran.out


# -- waiting


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def between_polls(monkeypatch):
    """What happens while `--wait` sleeps, poll by poll; then it must be over."""

    def play(*steps):
        steps = list(steps)

        def pause(_seconds):
            if not steps:
                raise AssertionError("still waiting")
            steps.pop(0)()

        monkeypatch.setattr(watching.time, "sleep", pause)
        real = watching.watch
        monkeypatch.setattr(enqueue, "watch", lambda job_id, stream: real(job_id, stream, pause=pause))

    return play


@pytest.mark.django_db(transaction=True)
def test_wait_ends_with_0_when_the_job_completed(run, owner, lines, worker, between_polls):
    between_polls(worker.drain)
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--wait")
    assert ran.code == 0
    assert ran.out.strip() == str(only_job().pk)
    assert ran.err.splitlines()[-1].startswith("100 % 3 of 3, in ")
    assert Effect.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_wait_ends_with_1_when_items_failed(run, owner, tmp_path, worker, between_polls):
    (tmp_path / "bad.txt").write_text("fine\nraise\n")
    between_polls(worker.drain)
    ran = run("enqueue", "habits", "--user", "owner", "--items", tmp_path / "bad.txt", "--wait")
    assert ran.code == 1
    assert "1 failed" in ran.err


@pytest.mark.django_db(transaction=True)
def test_wait_with_json_prints_the_resource_once_the_job_has_ended(run, owner, lines, worker, between_polls):
    between_polls(worker.drain)
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--wait", "--json")
    resource = json.loads(ran.out)
    assert (resource["state"], resource["percent"]) == ("completed", 100)


@pytest.mark.django_db(transaction=True)
def test_wait_ends_with_1_when_somebody_pauses(run, owner, lines, worker, between_polls):
    between_polls(lambda: services.pause(job=only_job(), actor=owner))
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--wait")
    assert ran.code == 1
    assert f"manage.py job {only_job().pk} resume" in ran.err


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_leaves_the_job_running_and_says_so(run, owner, lines, worker, between_polls):
    def ctrl_c():
        raise KeyboardInterrupt

    between_polls(ctrl_c)
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--wait")
    assert ran.code == 130
    assert "The job goes on" in ran.err
    assert only_job().state == JobState.QUEUED


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError, InterfaceError, DatabaseError])
def test_wait_outlives_a_database_that_is_away(run, owner, lines, worker, between_polls, monkeypatch, error):
    figures = progress.of

    def away(_job):
        raise error("server closed the connection unexpectedly\n\tThis probably means …")

    between_polls(
        lambda: monkeypatch.setattr(progress, "of", away),
        lambda: None,
        lambda: monkeypatch.setattr(progress, "of", figures),
        worker.drain,
    )
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--wait")
    assert ran.code == 0
    assert ran.err.count("The database does not answer (server closed the connection unexpectedly)") == 1
    assert ran.err.count("The database answers again.") == 1


@pytest.mark.django_db(transaction=True)
def test_a_terminal_gets_one_line_that_is_redrawn(run, owner, lines, worker, between_polls, monkeypatch):
    monkeypatch.setattr(watching._LiveBar, "_columns", lambda _self: 40)
    between_polls(worker.step)
    stream = Terminal()
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--wait", stderr=stream)
    assert ran.code == 0
    drawn = stream.getvalue()
    assert drawn.count("\n") == 1
    frames = drawn.rstrip("\n").split("\r")[1:]
    assert len(frames) == 2
    assert all(len(frame) <= 39 for frame in frames)
    assert frames[0].startswith("░░░░░░░░░   0 % 0 of 3")
    assert frames[1].startswith("█████████ 100 % 3 of 3")


@pytest.mark.django_db(transaction=True)
def test_wait_outlives_its_connections_death(run, owner, lines, worker, between_polls):
    """The server ends the session in the middle: what psycopg2 then raises is of no kind in particular."""

    def cut():
        with connection.cursor() as cursor, contextlib.suppress(DatabaseError):
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    def work():
        connection.close()
        worker.drain()

    between_polls(cut, work)
    ran = run("enqueue", "note", "--user", "owner", "--items", lines, "--wait")
    assert ran.code == 0
    assert "The database does not answer" in ran.err


@pytest.mark.django_db(transaction=True)
def test_an_error_of_our_own_making_is_not_called_an_outage(run, owner, lines, worker, between_polls, monkeypatch):
    def wrong(_job):
        raise DataError("invalid input syntax")

    monkeypatch.setattr(progress, "of", wrong)
    with pytest.raises(DataError):
        run("enqueue", "note", "--user", "owner", "--items", lines, "--wait")


def test_lines_come_for_each_tenth_and_each_change_only(owner):
    job = services.submit(user=owner, operation="note", items=["a"] * 1000)
    stream = io.StringIO()
    face = watching._Lines(stream)
    for processed in range(0, 1000, 5):
        face.draw(job, progress.Progress(total=1000, prepared=0, processed=processed, words="Running"))
    assert len(stream.getvalue().splitlines()) == 10


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_real_shell_waits_for_a_real_cluster(owner, cluster, lines):
    ran = subprocess.run(
        [sys.executable, "manage.py", "enqueue", "note", "--user", "owner", "--items", str(lines), "--wait"],
        cwd=settings.BASE_DIR,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert re.fullmatch(r"[0-9a-f-]{36}\n", ran.stdout)
    assert "100 % 3 of 3" in ran.stderr
    assert Outcome.objects.count() == 3


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_real_ctrl_c_is_exit_130(owner, lines):
    process = subprocess.Popen(
        [sys.executable, "manage.py", "enqueue", "note", "--user", "owner", "--items", str(lines), "--wait"],
        cwd=settings.BASE_DIR,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A test run in the background of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for(Job.objects.exists, 20)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == str(only_job().pk)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "The job goes on" in err
    assert "Traceback" not in err
