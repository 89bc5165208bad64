"""A real web server on the test database, and a gateway in front of it that cuts long requests."""

from __future__ import annotations

import http.cookiejar
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

from tests.clusters import environment, wait_for

GUNICORN = [sys.executable, "-m", "gunicorn", "--pythonpath", "site,.", "--threads", "4", "--no-control-socket"]
GUNICORN += ["project.wsgi"]


WEB = "web"
"""What a site's database sessions are called."""


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RealSite:
    """gunicorn as the Procfile runs it, on a port of its own."""

    def __init__(self, log: Path, **env: str) -> None:
        self.port = free_port()
        self.log = log
        self.env = env
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("a") as out:
            self.process = subprocess.Popen(
                [*GUNICORN, "--bind", f"127.0.0.1:{self.port}"],
                cwd=settings.BASE_DIR,
                env=environment(PGAPPNAME=WEB, **self.env),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(self._answers, 30, f"the site; its log says:\n{self.log.read_text()}")

    def _answers(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=2) as answer:
            return answer.status == 200
        return False

    def ask(self, path: str) -> int:
        """The status of an address that needs no log-in."""
        return Person(f"http://127.0.0.1:{self.port}").look(path)[0]

    def processes(self) -> set[int]:
        """Process ids of the server and its workers."""
        family = psutil.Process(self.process.pid) if self.process else None
        return {family.pid, *(child.pid for child in family.children(recursive=True))} if family else set()

    def kill(self) -> None:
        """SIGKILL to all of it."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)
            self.process = None


class Gateway:
    """A proxy that passes bytes on and cuts every connection after a limit, whatever is in it."""

    def __init__(self, port: int, limit_seconds: float) -> None:
        self.upstream = port
        self.limit_seconds = limit_seconds
        self.cut = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        try:
            upstream = socket.create_connection(("127.0.0.1", self.upstream), timeout=5)
        except OSError:
            client.close()
            return
        ends = time.monotonic() + self.limit_seconds
        pumps = [
            threading.Thread(target=self._pump, args=(source, sink, ends), daemon=True)
            for source, sink in ((client, upstream), (upstream, client))
        ]
        for pump in pumps:
            pump.start()
        for pump in pumps:
            pump.join()
        client.close()
        upstream.close()

    def _pump(self, source: socket.socket, sink: socket.socket, ends: float) -> None:
        try:
            while data := self._receive(source, ends):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _receive(self, source: socket.socket, ends: float) -> bytes:
        source.settimeout(max(0.001, ends - time.monotonic()))
        try:
            return source.recv(65_536)
        except TimeoutError:
            self.cut += 1
            raise

    def close(self) -> None:
        """Accept no more."""
        self._listener.close()


class Person:
    """Somebody with a browser that runs no script: cookies, forms, redirects; remembers how long each request took."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.seconds: list[float] = []
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()), urllib.request.ProxyHandler({})
        )
        self.url = base

    def get(self, path: str, **headers: str) -> str:
        """A page's text."""
        return self._open(urllib.request.Request(urllib.parse.urljoin(self.base, path), headers=headers))

    def look(self, path: str, **headers: str) -> tuple[int, str]:
        """Status and text, whatever they are."""
        try:
            text = self.get(path, **headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        return 200, text

    def post(self, path: str, page: str, **fields: Any) -> str:
        """Send the form of a page: its hidden fields and what is given here."""
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)"[^>]*? value="([^"]*)"', page))
        body = urllib.parse.urlencode(hidden | fields).encode()
        return self._open(
            urllib.request.Request(
                urllib.parse.urljoin(self.base, path), data=body, headers={"Referer": self.base, "Accept": "text/html"}
            )
        )

    def log_in(self, name: str, password: str) -> None:
        """As one does."""
        page = self.get("/accounts/login/")
        self.post("/accounts/login/", page, username=name, password=password)

    def _open(self, request: urllib.request.Request) -> str:
        began = time.monotonic()
        try:
            with self._opener.open(request, timeout=90) as answer:
                self.url = answer.url
                return answer.read().decode()
        finally:
            self.seconds.append(time.monotonic() - began)
