"""The supervisor brings back what died, says when that goes on and on, and leaves nothing behind."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from project import supervisor
from project.supervisor import Process, Supervisor, read_procfile

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def run(tmp_path):
    """Supervisors of one shell command, stopped at the end of the test."""
    made = []

    def run(command):
        said = []
        process = Process("thing", command, tmp_path, os.environ)
        made.append(Supervisor([process], said.append))
        made[-1].start()
        return made[-1], process, said

    yield run
    for each in made:
        each.stop(hurry=lambda: True)


def tick_until(supervised, condition, seconds=15):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        supervised.tick()
        time.sleep(0.02)


def test_the_procfiles_web_and_worker_are_found():
    commands = read_procfile(ROOT / "Procfile", ("web", "worker"))
    assert commands["web"].startswith("gunicorn ")
    assert commands["worker"] == "python manage.py qcluster"


def test_a_process_that_died_is_back_within_a_second(run):
    supervised, process, said = run("sleep 60")
    first = process.pid
    os.kill(first, signal.SIGKILL)
    start = time.monotonic()
    tick_until(supervised, lambda: process.pid not in (None, first))
    assert time.monotonic() - start < 1
    assert said == ["thing was killed by SIGKILL, starting it again"]


def test_a_crash_loop_is_reported(run):
    supervised, _, said = run("false")
    tick_until(supervised, lambda: len(said) == 3)
    assert said[0] == "thing ended with exit code 1, starting it again"
    assert said[2] == "thing ended with exit code 1, starting it again; 3 times within 30 s, so look above for why"


def test_the_orphans_of_a_dead_leader_are_gone_before_it_is_started_again(run, tmp_path):
    supervised, process, _ = run("sh -c 'sleep 60 & echo $! >> orphans; wait'")
    orphans = tmp_path / "orphans"
    tick_until(supervised, orphans.exists)
    tick_until(supervised, orphans.read_text)
    orphan = psutil.Process(int(orphans.read_text()))
    first = process.pid
    os.kill(first, signal.SIGKILL)
    tick_until(supervised, lambda: process.pid not in (None, first))
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_only_the_leader_is_asked_to_stop(run, tmp_path):
    supervised, process, _ = run(
        """sh -c '(trap "touch asked" TERM; while :; do sleep 0.05; done) & trap "exit 0" TERM; touch up; wait'"""
    )
    tick_until(supervised, (tmp_path / "up").exists)
    leader = process.pid
    supervised.stop(hurry=lambda: False)
    assert not (tmp_path / "asked").exists()
    wait_until_empty(leader)


def test_what_does_not_stop_is_killed_with_all_that_it_started(run, tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "GRACE_SECONDS", 0.3)
    supervised, process, _ = run("""sh -c 'trap "" TERM; sleep 60 & touch up; while :; do sleep 0.1; done'""")
    tick_until(supervised, (tmp_path / "up").exists)
    leader = process.pid
    start = time.monotonic()
    supervised.stop(hurry=lambda: False)
    assert 0.2 < time.monotonic() - start < 5
    wait_until_empty(leader)


def wait_until_empty(group):
    deadline = time.monotonic() + 5
    while _members(group):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _members(group):
    members = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (psutil.NoSuchProcess, ProcessLookupError):
            continue
    return members
