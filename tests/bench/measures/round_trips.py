"""*round_trips*: how often an item goes to the database and back, counted by a proxy between it and a real worker."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from bulkops import services
from bulkops.models import Outcome
from tests.bench.counting import Counter
from tests.bench.figures import Figure
from tests.clusters import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    counter = Counter(stage.folder / "proxy")
    rows = stage.tickets(ROWS)
    try:
        with stage.cluster(workers=1, DATABASE_URL=counter.url()):
            yield {
                "outside": partial(_counted, stage, counter, "bench-nothing", range(ROWS * 20)),
                "inside": partial(_counted, stage, counter, "bench-nothing-transactional", range(ROWS * 20)),
                "row": partial(_counted, stage, counter, "bench-change-row", rows * 20),
            }
    finally:
        counter.close()


def _counted(stage: Stage, counter: Counter, operation: str, items: Any) -> float:
    job = services.submit(user=stage.person(), operation=operation, items=items)
    wait_for(Outcome.objects.filter(job=job).exists, 60, "the first item")
    trips, done = counter.count, Outcome.objects.filter(job=job).count()
    time.sleep(SECONDS)  # of work
    trips, done = counter.count - trips, Outcome.objects.filter(job=job).count() - done
    stage.end(job)
    return trips / done
