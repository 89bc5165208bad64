"""*round_trips*: how often an item goes to the database and back, counted by a tap on a real worker's line."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.db import connection

from bulkops import services
from bulkops.models import Outcome
from tests.bench.figures import Figure
from tests.clusters import wait_for
from tests.wire import PORT, Tap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.bench.stage import Stage

SECONDS = 1.0
ROWS = 1_000

FIGURES = (
    Figure(
        name="round_trips",
        words="round trips of an item that does nothing outside a transaction, slices' ends and heartbeats included",
        of="outside",
        unit="an item",
        at_most=1.1,
    ),
    Figure(
        name="round_trips, transactional",
        words="the same in the item's transaction",
        of="inside",
        unit="an item",
        at_most=1.1,
    ),
    Figure(
        name="round_trips, one row",
        words="of an item that changes one row by ORM; its own code alone in `atomic()` takes 3",
        of="row",
        unit="an item",
        at_most=4.1,
    ),
)


@contextmanager
def contestants(stage: Stage) -> Iterator[dict[str, Any]]:
    folder = stage.folder / "tap"
    folder.mkdir()
    connection.ensure_connection()
    server = connection.connection.info
    tap = Tap(folder, server.host, str(server.port))
    rows = stage.tickets(ROWS)
    try:
        with stage.cluster(workers=1, DATABASE_URL=_through(folder)):
            yield {
                "outside": partial(_counted, stage, tap, "bench-nothing", range(ROWS * 20)),
                "inside": partial(_counted, stage, tap, "bench-nothing-transactional", range(ROWS * 20)),
                "row": partial(_counted, stage, tap, "bench-change-row", rows * 20),
            }
    finally:
        tap.close()


def _through(folder: Path) -> str:
    """The run's database by the tap's socket."""
    of = connection.connection.info
    password = f":{quote(of.password, safe='')}" if of.password else ""
    return f"postgres://{quote(of.user)}{password}@/{of.dbname}?host={quote(str(folder), safe='')}&port={PORT}"


def _counted(stage: Stage, tap: Tap, operation: str, items: Any) -> float:
    job = services.submit(user=stage.person(), operation=operation, items=items)
    wait_for(Outcome.objects.filter(job=job).exists, 60, "the first item")
    with tap.watched() as sent:
        before = Outcome.objects.filter(job=job).count()
        time.sleep(SECONDS)  # of work
        done = Outcome.objects.filter(job=job).count() - before
        trips = len(sent)
    stage.end(job)
    return trips / done
