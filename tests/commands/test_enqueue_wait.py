"""`enqueue --wait`: the bar, what ends it, and what it outlives."""

from __future__ import annotations

import contextlib
import io
import json
import re
import signal
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import DatabaseError, DataError, InterfaceError, OperationalError, connection

from bulkops import progress, services, snapshots
from bulkops.management import watching
from bulkops.management.commands import enqueue
from bulkops.models import Job, Outcome
from bulkops.states import JobState
from tests.clusters import environment, wait_for
from tests.commands.test_enqueue import only_job
from tests.sample.models import Effect

pytestmark = pytest.mark.django_db


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
    figures = snapshots.of

    def away(_job):
        raise error("server closed the connection unexpectedly\n\tThis probably means …")

    between_polls(
        lambda: monkeypatch.setattr(snapshots, "of", away),
        lambda: None,
        lambda: monkeypatch.setattr(snapshots, "of", figures),
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

    monkeypatch.setattr(snapshots, "of", wrong)
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
