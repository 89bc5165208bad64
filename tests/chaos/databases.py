"""A PostgreSQL of a test's own, which it may restart, stop and harm while others go on using the test run's.

Its clients are given its DATABASE_URL, so they use Django's plain engine: none of them starts it again by connecting,
as the clients of an embedded server do. It comes back when the test says so.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from django.core.management import call_command
from django.db import ConnectionHandler, Error, connection, connections

from bulkops.outage import is_away
from project.embedded.places import choose_places
from project.embedded.server import EmbeddedServer
from tests import flushing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Answer = TypeVar("Answer")

AWAY_SECONDS = 60
"""A test that cannot reach its database for so long has failed."""
OTHERS = (
    "FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()"
    " AND pid <> pg_backend_pid()"
)


class OwnDatabase:
    """One server with one migrated database; `used` makes it this process's default database for a while."""

    def __init__(self, home: Path) -> None:
        self._server = EmbeddedServer(choose_places(home))

    def start(self) -> None:
        """Start it, and come back when it answers."""
        self._server.ensure()

    def stop(self) -> None:
        """Stop it, whoever is connected; connecting is refused from now on."""
        self._server.stop()

    def restart(self, mode: str) -> None:
        """`pg_ctl restart` with that mode; done when it answers again."""
        places = self._server.places
        self._server.programs.run("pg_ctl", "-D", places.data, "-l", places.log, "-w", "-m", mode, "restart")

    def run(self, program: str, *arguments: object) -> None:
        """Run one of PostgreSQL's own programs against it, as an operator would."""
        command = [str(self._server.programs.folder / program), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr

    def remove(self) -> None:
        """Stop it, and remove what lies outside its home."""
        self.stop()
        places = self._server.places
        for left in (places.away, places.sockets.parent):
            if left.name.startswith("bulkops-pg-"):
                shutil.rmtree(left, ignore_errors=True)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let Django's default connection of this thread, and `tests.clusters.environment`, lead here."""
        places = self._server.places
        plain = {"ENGINE": "django.db.backends.postgresql", "NAME": "bulkops", "USER": "bulkops"}
        here = {**plain, "HOST": str(places.sockets), "PORT": places.port, "CONN_MAX_AGE": None}
        elsewhere = connections["default"]
        connections["default"] = ConnectionHandler({"default": here})["default"]
        try:
            yield
        finally:
            connections["default"].close()
            connections["default"] = elsewhere

    def empty(self) -> None:
        """Bring it to the condition after the migrations; while it is used."""
        flushing.install()
        call_command("migrate", interactive=False, run_syncdb=True, verbosity=0)
        call_command("flush", interactive=False, verbosity=0, inhibit_post_migrate=True)


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask the database, again and again while it is away or cuts this very session. The question must bear that."""
    ends = time.monotonic() + AWAY_SECONDS
    while True:
        try:
            return ask()
        except Error as error:
            if not is_away(error) or time.monotonic() > ends:
                raise
            connection.close()
            time.sleep(0.05)


def sessions() -> list[tuple[int, str]]:
    """Process id and application's name of every session but this one."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT pid, application_name {OTHERS}")
        return list(cursor.fetchall())


def cut(pids: list[int]) -> int:
    """Terminate these sessions; say how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(pg_terminate_backend(pid)) {OTHERS} AND pid = ANY(%s)", [pids])
        return cursor.fetchone()[0]


def cut_all() -> int:
    """Terminate every session but this one, as far as this may."""
    return cut([pid for pid, _ in sessions()])
