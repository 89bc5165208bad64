"""The database that is measured on, owned by one run: it is made at the beginning and gone at the end.

Without DATABASE_URL it is a private server with the options that `manage.py up` gives its own, all durable; with it, a
new database on that server, whose name no other has. Nothing here needs Django's settings: they come after it.
"""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2

from project.embedded.places import choose_places
from project.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Owned:
    """Where it is."""

    url: str
    programs: Path | None
    """The folder of the server's own programs, where the server is ours."""
    data: Path | None

    def beside(self, name: str) -> str:
        """The URL of another database of this server, of that name."""
        parts = urlsplit(self.url)
        return urlunsplit(parts._replace(path=f"/{name}"))

    @property
    def name(self) -> str:
        """The database's own name."""
        return urlsplit(self.url).path.lstrip("/")

    def pgbench(self) -> str | None:
        """The server's own pgbench, or another that is there."""
        folders = [self.programs] if self.programs else []
        folders += sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), reverse=True)
        own = next((str(folder / "pgbench") for folder in folders if (folder / "pgbench").exists()), None)
        return own or shutil.which("pgbench")


@contextmanager
def owned() -> Iterator[Owned]:
    """A database of this run's own."""
    url = os.environ.get("DATABASE_URL", "").strip()
    with nullcontext(Owned(url, None, None)) if url else _embedded() as server:
        # Its name is no other's, in a private server too: what a killed run left behind finds nothing.
        name = f"bulkops_bench_{secrets.token_hex(4)}"
        with _connected(server.url) as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        try:
            yield replace(server, url=server.beside(name))
        finally:
            with _connected(server.url) as cursor:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _embedded() -> Iterator[Owned]:
    home = Path(os.environ.get("BULKOPS_POSTGRES_HOME") or ROOT / ".bulkops" / "postgres")
    places = choose_places(home.with_name(f"{home.name}-bench"))
    server = EmbeddedServer(places, os.environ.get("BULKOPS_PG_BIN", ""))
    server.join()
    with server.users.alone() as alone:
        if not alone:
            raise SystemExit("another measurement runs: they would measure one another")
        server.stop()
        shutil.rmtree(places.data, ignore_errors=True)
    try:
        server.ensure()
        url = f"postgres://bulkops@/bulkops?host={quote(str(places.sockets), safe='')}"
        # So that a commit's moment can be read afterwards. It makes each commit of everybody write a little more.
        with _connected(url) as cursor:
            cursor.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        server.stop()
        server.ensure()
        yield Owned(url, server.programs.folder, places.data)
    finally:
        server.stop()
        shutil.rmtree(places.data, ignore_errors=True)


@contextmanager
def _connected(url: str) -> Iterator[psycopg2.extensions.cursor]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()
