"""Tasks of a project's own, as it gives them to django-q2 without bulkops."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from tests.sample.models import Effect


def write(item: str) -> str:
    """Leave one effect."""
    Effect.objects.create(item=item)
    return f"wrote {item}"


def fail(item: str) -> None:
    """Leave one effect, then fail."""
    write(item)
    raise ValueError("this task is bad")


def kill_at_first(item: str) -> None:
    """Leave one effect, and kill the worker the first time."""
    first = not Effect.objects.filter(item=item).exists()
    write(item)
    if first:
        os.kill(os.getpid(), signal.SIGKILL)


def sleep_through_alarms(seconds: float) -> None:
    """Not to be interrupted by a signal, like a wait inside a C library."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    time.sleep(seconds)


def note_result(task: Any) -> None:
    """A hook."""
    Effect.objects.create(item="hook", note=f"{task.success} {task.result}"[:200])
