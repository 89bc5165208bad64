"""`manage.py job ID report`: to standard output, or to a file that is complete or not there."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys

import pytest
from django.conf import settings
from django.db import OperationalError

from bulkops import report
from bulkops.models import Job
from bulkops.states import JobState
from tests.clusters import environment
from tests.reports import parsed, stored

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(owner):
    told = {0: {"state": "succeeded"}, 1: {"state": "failed", "message": "=1"}}
    return stored(owner, ["ä", "b", "c"], told, state=JobState.CANCELLED)


def test_prints_the_report(run, job):
    ran = run("job", job.pk, "report")
    assert (ran.code, ran.err) == (0, "")
    assert [(row["item"], row["state"]) for row in parsed(ran.out)] == [
        ("ä", "succeeded"),
        ("b", "failed"),
        ("c", "unprocessed"),
    ]
    assert parsed(ran.out)[1]["message"] == "'=1"


def test_options_are_those_of_the_page(run, job, owner):
    child = stored(owner, ["b"], roots=[1], parent=job, root=job)
    assert [row["item"] for row in parsed(run("job", job.pk, "report", "--state", "failed,unprocessed").out)] == [
        "b",
        "c",
    ]
    ran = run("job", job.pk, "report", "--state", "failed", "--state", "succeeded", "--raw")
    assert parsed(ran.out)[1]["message"] == "=1"
    folded = parsed(run("job", job.pk, "report", "--folded").out)
    assert [row["job"] for row in folded] == [str(job.pk), str(child.pk), ""]
    assert run("job", job.pk, "report", "--bom").out.startswith("\ufeffposition")


def test_writes_a_file(run, job, tmp_path):
    path = tmp_path / "report.csv"
    ran = run("job", job.pk, "report", "--output", path)
    assert (ran.code, ran.out) == (0, "")
    with path.open(encoding="utf-8", newline="") as file:
        assert [row["item"] for row in csv.DictReader(file)] == ["ä", "b", "c"]
    assert list(tmp_path.iterdir()) == [path]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_file_that_breaks_off_leaves_the_old_one(run, job, tmp_path, monkeypatch):
    def away(*_, **__):
        yield from ()
        raise OperationalError("server closed the connection unexpectedly")

    path = tmp_path / "report.csv"
    path.write_text("the last one")
    monkeypatch.setattr("bulkops.report.rows.of", away)
    ran = run("job", job.pk, "report", "--output", path)
    assert ran.code == 4
    assert ran.complaint == "job: the database does not answer: server closed the connection unexpectedly"
    assert path.read_text() == "the last one"
    assert list(tmp_path.iterdir()) == [path]
    printed = run("job", job.pk, "report")
    assert printed.code == 4
    assert parsed(printed.out)[-1]["position"] == report.INCOMPLETE


def test_a_link_stays_a_link(run, job, tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("real.csv")
    run("job", job.pk, "report", "--output", tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("position")


def test_a_pipe_is_written_to_not_replaced(run, job, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    assert run("job", job.pk, "report", "--output", pipe).code == 0
    out, _ = reader.communicate(timeout=10)
    assert out.decode().startswith("position")
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["report", "--state", "nonsense"], "job: There is no state “nonsense” of an item."),
        (
            ["report", "--output", "/no/such/folder/x.csv"],
            "job: the report can't be written: No such file",
        ),
        (["report", "--json"], "job: a report is CSV"),
        (["report", "--reason", "x"], "job: --reason is for"),
        (["cancel", "--state", "failed"], "job: --state is for report"),
        (["--folded"], "job: --folded is for report"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(run, job, arguments, complaint):
    ran = run("job", job.pk, *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.complaint.startswith(complaint)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_terminal_of_another_encoding_gets_utf_8_and_head_may_stop_reading(job, owner):
    long = stored(owner, (f"ä{n}" for n in range(20_000)))
    command = [sys.executable, "manage.py", "job", str(job.pk), "report"]
    env = environment(PYTHONIOENCODING="latin-1", LC_ALL="C")
    ran = subprocess.run(command, cwd=settings.BASE_DIR, env=env, capture_output=True, timeout=60, check=True)
    assert [row["item"] for row in parsed(ran.stdout.decode())] == ["ä", "b", "c"]
    command[3] = str(long.pk)
    piped = f"{' '.join(command)} | head -n 2"
    ran = subprocess.run(["bash", "-o", "pipefail", "-c", piped], cwd=settings.BASE_DIR, env=env, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == b""
    assert len(list(csv.reader(io.StringIO(ran.stdout.decode())))) == 2
    assert Job.objects.filter(pk=long.pk).exists()
