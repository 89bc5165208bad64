"""Celery on Redis: what its worker runs."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

from celery import Celery

URL = os.environ["BENCH_REDIS"]

app = Celery("bench", broker=URL, backend=URL)


@app.task(bind=True)
def loop(self: Any) -> None:
    """One task for all items: each does nothing, and the progress goes to Redis; until it is revoked."""
    for done in itertools.count(1):
        self.update_state(state="PROGRESS", meta={"done": done})


@app.task
def nothing(_item: int) -> float:
    """One task for one item."""
    return time.time()


@app.task
def last(ended: list[float]) -> float:
    """A chord's end."""
    return max(*ended, time.time())
