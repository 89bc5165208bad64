"""A tap on the line between this process and PostgreSQL: what is really sent, BEGIN and COMMIT too.

Django's own record of queries knows nothing of what the driver sends by itself, and nothing of other processes. The tap
is a Unix socket in between: it passes every byte on, and notes each message that the server has to answer.
"""

from __future__ import annotations

import socket
import struct
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

ANSWERED = {b"Q": "", b"S": "sync", b"c": "end of COPY"}
"""Messages that the client waits for the answer of: a simple query, the end of an extended one, the end of a COPY."""
PORT = "5432"


class Sent:
    """What went over the line while one watched, in the order of its sending; one entry is one round trip."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def __len__(self) -> int:
        return len(self.messages)

    def with_word(self, word: str) -> list[str]:
        """Those in which it stands."""
        return [one for one in self.messages if word in one]


class Tap:
    """Listens as a PostgreSQL would, and passes all on to the real one."""

    def __init__(self, folder: Path, host: str, port: str) -> None:
        self.folder = folder
        self._to = (host, port or PORT)
        self._sent: list[Sent] = []
        self._open: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / f".s.PGSQL.{PORT}"))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def watched(self) -> Iterator[Sent]:
        """Notes what is sent in the body."""
        sent = Sent()
        self._sent.append(sent)
        try:
            yield sent
        finally:
            self._sent.remove(sent)

    def close(self) -> None:
        """Cut every line."""
        for one in [self._listener, *self._open]:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = self._connect()
            self._open += [client, server]
            threading.Thread(target=self._listen, args=(client, server), daemon=True).start()
            threading.Thread(target=_pass_on, args=(server, client), daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = self._to
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX)
            server.connect(f"{host}/.s.PGSQL.{port}")
            return server
        return socket.create_connection((host, int(port)))

    def _listen(self, client: socket.socket, server: socket.socket) -> None:
        """Read the client's messages; the first of a line has no letter before its length."""
        unread, begun = b"", False
        for data in _received(client):
            unread += data
            while (whole := _whole(unread, begun)) is not None:
                if begun:
                    self._note(unread[:1], unread[5:whole])
                unread, begun = unread[whole:], True
            if not _send(server, data):
                return
        _shut(server)

    def _note(self, kind: bytes, body: bytes) -> None:
        if kind in ANSWERED:
            for sent in self._sent:
                sent.messages.append(ANSWERED[kind] or body.rstrip(b"\0").decode(errors="replace"))


def _whole(unread: bytes, begun: bool) -> int | None:
    """Where the first message ends; None where it has not come whole."""
    start = 1 if begun else 0
    if len(unread) < start + 4:
        return None
    end = start + struct.unpack("!I", unread[start : start + 4])[0]
    return end if len(unread) >= end else None


def _received(line: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            data = line.recv(65_536)
        except OSError:
            return
        if not data:
            return
        yield data


def _send(line: socket.socket, data: bytes) -> bool:
    try:
        line.sendall(data)
    except OSError:
        return False
    return True


def _pass_on(server: socket.socket, client: socket.socket) -> None:
    for data in _received(server):
        if not _send(client, data):
            return
    _shut(client)


def _shut(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


@contextmanager
def tapped() -> Iterator[Tap]:
    """Leads this process, and whatever it starts on the test database, over a tap."""
    of: dict[str, Any] = connection.settings_dict
    before = {"HOST": of["HOST"], "PORT": of["PORT"]}
    with tempfile.TemporaryDirectory(prefix="tap-") as folder:
        tap = Tap(Path(folder), *before.values())
        connection.close()
        of.update(HOST=folder, PORT=PORT)
        try:
            yield tap
        finally:
            connection.close()
            of.update(before)
            tap.close()
