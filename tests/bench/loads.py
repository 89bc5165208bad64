"""The load generator: a few lines that each ask for the same page again and again, as fast as the answers come."""

from __future__ import annotations

import re
import socket
import threading
import time

LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")


class Asking(threading.Thread):
    """One kept-alive line."""

    def __init__(self, port: int, request: bytes, status: int) -> None:
        super().__init__(daemon=True)
        self._port, self._request = port, request
        self._begins = f"HTTP/1.1 {status} ".encode()
        self.answers = 0
        self.over = False
        self.wrong = b""

    def run(self) -> None:
        line = b""
        sock: socket.socket | None = None
        while not self.over:
            if sock is None:
                sock, line = socket.create_connection(("127.0.0.1", self._port)), b""
            sock.sendall(self._request)
            while b"\r\n\r\n" not in line:
                line += sock.recv(65_536)
            head, _, body = line.partition(b"\r\n\r\n")
            if not head.startswith(self._begins):
                self.wrong = head
                return
            found = LENGTH.search(head + b"\r\n")
            left = (int(found[1]) if found else 0) - len(body)
            while left > 0:
                left -= len(sock.recv(65_536))
            line = b""
            if b"connection: close" in head.lower():
                sock.close()
                sock = None
            self.answers += 1
        if sock is not None:
            sock.close()


def rate(
    *,
    port: int,
    path: str,
    headers: dict[str, str],
    status: int,
    lines: int,
    warm_seconds: float,
    window_seconds: float,
) -> float:
    """Answers a second within the window."""
    said = "".join(f"{name}: {text}\r\n" for name, text in {"Host": f"127.0.0.1:{port}", **headers}.items())
    asking = [Asking(port, f"GET {path} HTTP/1.1\r\n{said}\r\n".encode(), status) for _ in range(lines)]
    for one in asking:
        one.start()
    time.sleep(warm_seconds)
    began, before = time.perf_counter(), sum(one.answers for one in asking)
    time.sleep(window_seconds)
    done = sum(one.answers for one in asking) - before
    seconds = time.perf_counter() - began
    for one in asking:
        one.over = True
    for one in asking:
        one.join(10)
    assert not any(one.wrong for one in asking), next(one.wrong for one in asking if one.wrong)
    return done / seconds


if __name__ == "__main__":
    from tests.bench.answering import serve

    serve({"rate": rate})
