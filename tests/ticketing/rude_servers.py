"""Servers on real sockets that answer every request with the same bytes, or with none."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress


class RudeServer:
    """Reads a request, sends what it was given, and closes; with `silent` it keeps the connection and says nothing."""

    def __init__(self, answer: bytes, *, silent: bool = False) -> None:
        self.answer = answer
        self.silent = silent
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1/"

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._kept.append(client)
                self.requests.append(self._read(client))
                with suppress(OSError):
                    client.sendall(self.answer)
                    if not self.silent:
                        client.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def _read(client: socket.socket) -> bytes:
        got = b""
        while b"\r\n\r\n" not in got and (piece := client.recv(65_536)):
            got += piece
        head, _, body = got.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head, re.IGNORECASE)[1])
        while len(body) < length and (piece := client.recv(65_536)):
            body += piece
        return head + b"\r\n\r\n" + body

    def close(self) -> None:
        """Hang up on everybody."""
        for end in (self._listener, *self._kept):
            end.close()


def http_answer(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """An HTTP response as it goes over the wire; `length` is what it claims its body to be."""
    claimed = f"Content-Length: {len(body) if length is None else length}"
    return "\r\n".join([f"HTTP/1.1 {status}", claimed, *headers, "", ""]).encode() + body
