"""`manage.py up`, run for real on a database of its own: says Ready when it is, and leaves nothing running."""

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from project.embedded.places import choose_places
from project.embedded.server import EmbeddedServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 120


def environment(**more):
    """The caller's, without anything that the settings read."""
    read = ("SECRET_KEY", "DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "DATABASE_URL", "PORT", "DJANGO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith((*read, "BULKOPS_"))}
    return kept | more


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Up:
    """One running `manage.py up`."""

    def __init__(self, home, *arguments):
        self.port = free_port()
        self.log = home.parent / f"up-{self.port}.log"
        with self.log.open("w") as log:
            self.process = psutil.Popen(
                [sys.executable, "manage.py", "up", "--port", str(self.port), "--workers", "1", *arguments],
                cwd=ROOT,
                env=environment(BULKOPS_POSTGRES_HOME=str(home)),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self):
        wait_until(lambda: f"\nReady: http://127.0.0.1:{self.port}\n" in self.log.read_text(), self.log, self.process)
        return self

    def child(self, word):
        """The leader of the web or the worker."""
        return next(child for child in self.process.children() if any(word in part for part in child.cmdline()))

    def end(self, number):
        """Its exit code, and every process that it had."""
        family = self.process.children(recursive=True)
        self.process.send_signal(number)
        return self.process.wait(30), family

    def put_away(self):
        """Whatever has become of it."""
        if self.process.poll() is None:
            family = self.process.children(recursive=True)
            self.process.terminate()
            _, left = psutil.wait_procs([self.process, *family], 30)
            for each in left:
                each.kill()


def wait_until(condition, log, process=None, seconds=READY_SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        assert process is None or process.poll() is None, log.read_text()
        time.sleep(0.05)


def ask(port, path, host="127.0.0.1"):
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def alive(processes):
    return [each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def servers_of(home):
    data = str(home / "data")
    return [each.pid for each in psutil.process_iter(["cmdline"]) if data in (each.info["cmdline"] or ())]


@pytest.fixture(scope="module")
def home():
    """One database for all tests here; the first start makes it."""
    folder = Path(tempfile.mkdtemp(prefix="bulkops-up-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder / "postgres"
    EmbeddedServer(choose_places(folder / "postgres")).stop()  # one that outlived an `up` killed with -9
    shutil.rmtree(folder)


@pytest.fixture
def start(home):
    started = []

    def start(*arguments):
        started.append(Up(home, *arguments))
        return started[-1]

    yield start
    for up in started:
        up.put_away()


@pytest.fixture(scope="class")
def running(home):
    up = Up(home)
    try:
        yield up.wait_until_ready()
    finally:
        up.put_away()


def test_the_first_start_serves_and_gives_a_password_once(start):
    up = start("--demo").wait_until_ready()
    assert ask(up.port, "/healthz") == 200
    assert ask(up.port, "/healthz/workers") == 200
    assert ask(up.port, "/") in (200, 302)
    [password] = re.findall(r"^Log in as demo .*; password: (\S+)$", up.log.read_text(), re.M)
    assert len(password) >= 10
    up.end(signal.SIGTERM)
    again = start().wait_until_ready()
    assert password not in again.log.read_text()
    assert "with the password of the first start; manage.py changepassword demo sets another" in again.log.read_text()


class TestOneThatRuns:
    """What leaves it running is asked of one."""

    def test_only_this_machine_can_reach_it(self, running):
        listening = set()
        for each in running.process.children(recursive=True):
            # A leader has its schedules looked after by short-lived ones.
            with contextlib.suppress(psutil.NoSuchProcess):
                connections = each.net_connections("inet")
                listening |= {one.laddr.ip for one in connections if one.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}

    @pytest.mark.parametrize(("word", "path"), [("gunicorn", "/healthz"), ("qcluster", "/healthz/workers")])
    def test_a_leader_killed_with_9_is_started_again(self, running, word, path):
        before, said = running.child(word), len(running.log.read_text())
        family = [before, *before.children(recursive=True)]
        before.kill()
        again = "was killed by SIGKILL, starting it again"
        wait_until(lambda: again in running.log.read_text()[said:], running.log, running.process, 2)
        wait_until(
            lambda: any(word in part for c in running.process.children() for part in c.cmdline()),
            running.log,
            running.process,
            2,
        )
        wait_until(lambda: ask(running.port, path) == 200, running.log, running.process)
        assert running.child(word).pid != before.pid
        wait_until(lambda: not alive(family), running.log, seconds=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_everything_with_exit_code_0(start, home, number):
    up = start().wait_until_ready()
    assert servers_of(home)
    code, family = up.end(number)
    assert code == 0, up.log.read_text()
    assert len(family) >= 3
    assert alive(family) == []
    assert servers_of(home) == []
    assert ask(up.port, "/healthz") is None


def test_a_signal_while_it_still_sets_up_is_heeded(start, home):
    up = start()
    wait_until(lambda: "PostgreSQL" in up.log.read_text(), up.log, up.process)
    assert up.end(signal.SIGTERM)[0] == 0
    assert "Ready" not in up.log.read_text()
    assert servers_of(home) == []


def test_the_database_stays_while_another_one_uses_it(start, home):
    first, second = start().wait_until_ready(), start().wait_until_ready()
    code, family = second.end(signal.SIGTERM)
    assert (code, alive(family)) == (0, [])
    assert servers_of(home)
    assert ask(first.port, "/healthz/workers") == 200
    assert first.end(signal.SIGTERM)[0] == 0
    assert servers_of(home) == []


def test_killed_with_9_it_leaves_no_children(start):
    up = start().wait_until_ready()
    family = up.process.children(recursive=True)
    up.process.kill()
    wait_until(lambda: not alive(family), up.log, seconds=30)


def refused(*arguments, **words):
    """Exit code 2, and what it said in its one line."""
    command = [sys.executable, "manage.py", "up", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment(**words), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    return line


def test_a_port_in_use_is_one_line(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"port {port} is in use" in refused("--port", str(port), BULKOPS_POSTGRES_HOME=str(home))
        assert f"port {port} is in use" in refused(PORT=str(port), BULKOPS_POSTGRES_HOME=str(home))


def test_a_database_that_cannot_be_reached_is_one_line():
    words = {"DATABASE_URL": "postgres://u:hidden-word@127.0.0.1:1/d"}
    line = refused("--port", str(free_port()), **words)
    assert "the database can't be reached: " in line
    assert "hidden-word" not in line


def test_missing_programs_are_one_line(home):
    words = {"BULKOPS_PG_BIN": str(home.parent), "BULKOPS_POSTGRES_HOME": str(home.parent / "never")}
    assert "no PostgreSQL server programs found" in refused("--port", str(free_port()), **words)
