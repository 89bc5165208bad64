"""Makes procrastinate's tables, sends it jobs, and says how long they took."""

from __future__ import annotations

import os
import time

import psycopg
from procrastinate import App, SyncPsycopgConnector

from tests.bench.answering import serve

URL = os.environ["PEER_DATABASE_URL"]
DONE = "SELECT count(*), extract(epoch FROM max(at)) FROM procrastinate_events WHERE type = 'succeeded'"

app = App(connector=SyncPsycopgConnector(conninfo=URL))
app.open()


def prepare() -> bool:
    """Tables."""
    app.schema_manager.apply_schema()
    return True


def task_per_item(*, items: int) -> float:
    """Items a second of one job each, from the first's sending to the moment the last one was done."""
    with psycopg.connect(URL, autocommit=True) as line:
        line.execute("TRUNCATE procrastinate_jobs, procrastinate_events CASCADE")
        began = time.time()
        later = app.configure_task("nothing")
        later.batch_defer(*({"item": item} for item in range(items)))
        while True:
            done, last = line.execute(DONE).fetchone()
            if done == items:
                return items / (float(last) - began)
            time.sleep(0.05)


if __name__ == "__main__":
    serve({"prepare": prepare, "task_per_item": task_per_item})
