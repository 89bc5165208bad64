"""Sends tasks to Celery and says how far or how fast they were."""

from __future__ import annotations

import time
from typing import Any

from celery import chord, group

from tests.bench.answering import serve
from tests.bench.peers.celery_app import last, loop, nothing

begun: list[Any] = []


def begin(*, tasks: int) -> bool:
    """Send so many tasks that report each item."""
    begun[:] = [loop.delay() for _ in range(tasks)]
    return True


def done() -> int:
    """What they have reported last, all together; 0 until each has."""
    told = [one.info for one in begun]
    return sum(one["done"] for one in told) if all(isinstance(one, dict) for one in told) else 0


def end() -> bool:
    """Revoke them, which kills their processes; others take their place."""
    for one in begun:
        one.revoke(terminate=True)
    while not all(one.ready() for one in begun):
        time.sleep(0.05)
    return True


def task_per_item(*, items: int) -> float:
    """Items a second of a chord with one task each, from its sending to its callback."""
    began = time.time()
    ended = chord(group(nothing.s(item) for item in range(items)))(last.s())
    return items / (ended.get(timeout=120) - began)


if __name__ == "__main__":
    serve({"begin": begin, "done": done, "end": end, "task_per_item": task_per_item})
