"""What the embedded server's tests share: folders that every account may walk to, servers, and child processes."""

import os
import pickle
import pwd
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from project.embedded.places import choose_places
from project.embedded.server import EmbeddedServer

MakeServer = Callable[..., EmbeddedServer]


class Child:
    """A fork of this process, under another account if wanted. A fork, because other accounts may not be able to
    read the Python that runs the tests."""

    def __init__(self, function: Callable[[], Any], account: str | None = None) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(self._run(function, account, write))
        os.close(write)

    def _run(self, function: Callable[[], Any], account: str | None, write: int) -> int:
        try:
            if account:
                entry = pwd.getpwnam(account)
                os.setgroups([])
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
            answer = (True, function())
        except BaseException as error:
            answer = (False, f"{type(error).__name__}: {error}")
        os.write(write, pickle.dumps(answer))
        return 0

    def result(self) -> Any:
        """What the function returned; its error is the test's error."""
        with os.fdopen(self._read, "rb") as answers:
            answer = answers.read()
        os.waitpid(self.pid, 0)
        good, value = pickle.loads(answer)
        assert good, value
        return value

    def kill(self) -> None:
        """With -9, and gone when this returns."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._read)


@pytest.fixture(name="child")
def _child() -> type[Child]:
    return Child


@pytest.fixture
def folder() -> Iterator[Path]:
    """pytest's own temporary folders are closed to other accounts."""
    path = Path(tempfile.mkdtemp(prefix="bulkops-test-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def make_server(folder: Path) -> Iterator[MakeServer]:
    """Servers that are stopped, and whose files outside the folder are removed, at the end of the test."""
    made = []

    def make(home: Path = folder / "home", programs: str = "", *, forgetful: bool = False) -> EmbeddedServer:
        server = EmbeddedServer(choose_places(home), programs, forgetful=forgetful)
        made.append(server)
        return server

    yield make
    for server in made:
        server.stop()
        for left in (server.places.away, server.places.sockets.parent):
            if left.name.startswith("bulkops-pg-"):
                shutil.rmtree(left, ignore_errors=True)


@pytest.fixture
def server(make_server: MakeServer) -> EmbeddedServer:
    """A server that is up."""
    server = make_server()
    server.ensure()
    return server


@pytest.fixture
def connect() -> Iterator[Callable[..., Any]]:
    """Connections that are closed at the end of the test."""
    opened = []

    def connect(server: EmbeddedServer, **more: str) -> Any:
        connection = open_connection(server, **more)
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


def open_connection(server: EmbeddedServer, **more: str) -> Any:
    """As the settings would have it."""
    host, port = str(server.places.sockets), server.places.port
    return psycopg2.connect(**{"host": host, "port": port, "user": "bulkops", "dbname": "bulkops"} | more)


def postmaster(server: EmbeddedServer) -> int:
    """The server's process id."""
    return int(server.places.pid_file.read_text().split()[0])


@pytest.fixture(name="postmaster")
def _postmaster() -> Callable[[EmbeddedServer], int]:
    return postmaster


@pytest.fixture(name="open_connection")
def _open_connection() -> Callable[..., Any]:
    return open_connection
