"""A proxy before PostgreSQL that counts round trips: how often the server said that it is ready for the next one."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from django.db import connection

if TYPE_CHECKING:
    from pathlib import Path

READY = ord("Z")


class Counter:
    """Listens on a Unix socket in a folder of its own, and passes on to the server of Django's connection."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        connection.ensure_connection()
        info = connection.connection.info
        self._upstream = (info.host, info.port)
        self._folder = folder
        self.count = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def url(self) -> str:
        """The same database through this."""
        of = connection.connection.info
        user, password = quote(of.user), f":{quote(of.password, safe='')}" if of.password else ""
        return f"postgres://{user}{password}@/{of.dbname}?host={quote(str(self._folder), safe='')}&port=5432"

    def close(self) -> None:
        """Accept no more."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            upstream = self._connect()
            for pump, source, sink in ((self._pass_on, client, upstream), (self._count, upstream, client)):
                threading.Thread(target=pump, args=(source, sink), daemon=True).start()

    def _connect(self) -> socket.socket:
        host, port = self._upstream
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        upstream = socket.socket(socket.AF_UNIX)
        upstream.connect(f"{host}/.s.PGSQL.{port}")
        return upstream

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def _count(self, source: socket.socket, sink: socket.socket) -> None:
        """Messages are a letter and a length, which counts itself; they may be cut anywhere."""
        rest = b""
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
                rest += data
                while len(rest) >= 5 and len(rest) > (size := int.from_bytes(rest[1:5], "big")):
                    self.count += rest[0] == READY
                    rest = rest[1 + size :]
            sink.shutdown(socket.SHUT_WR)
