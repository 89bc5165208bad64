"""Sends tasks to Celery and says how long they took."""

from __future__ import annotations

import time

from celery import chord, group

from tests.bench.answering import serve
from tests.bench.peers.celery_app import last, loop, nothing


def update_state(*, items: int) -> float:
    """Items a second of one task that reports each, from its sending to its end."""
    began = time.time()
    return items / (loop.delay(items).get(timeout=120) - began)


def update_state_twice(*, items: int) -> float:
    """The same with half of the items in each of two tasks at the same time."""
    began = time.time()
    both = [loop.delay(items // 2) for _ in range(2)]
    return items / (max(one.get(timeout=120) for one in both) - began)


def task_per_item(*, items: int) -> float:
    """Items a second of a chord with one task each, from its sending to its callback."""
    began = time.time()
    ended = chord(group(nothing.s(item) for item in range(items)))(last.s())
    return items / (ended.get(timeout=120) - began)


if __name__ == "__main__":
    serve({"update_state": update_state, "update_state_twice": update_state_twice, "task_per_item": task_per_item})
