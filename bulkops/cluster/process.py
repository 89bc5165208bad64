"""One worker process: it dies with its leader, keeps what memory it freed, and stops between two items when asked."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from typing import TYPE_CHECKING

from django_q.worker import worker

from bulkops import dispatch
from bulkops.cluster.inbox import Inbox, Outbox, Timer
from bulkops.engine import hand, holder, sessions

if TYPE_CHECKING:
    from types import FrameType

    from bulkops.cluster.slots import Slot

KEPT_BYTES = 31 * 1024 * 1024
"""Just below the size from which glibc never learns (DEFAULT_MMAP_THRESHOLD_MAX, 32 MB)."""

_PR_SET_PDEATHSIG = 1


class Stop:
    """Whether this process was asked to stop, for those who ask and for one who sleeps."""

    def __init__(self) -> None:
        self._asked = False
        self.wake, self._write = os.pipe()
        """Can be read once it was asked: a signal alone does not end Python's `select`."""
        os.set_blocking(self._write, False)

    def asked(self) -> bool:
        """Whether it was."""
        return self._asked

    def ask(self, _signum: int, _frame: FrameType | None) -> None:
        """The handler of SIGTERM and SIGINT."""
        self._asked = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b".")


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; leave at once if that has happened already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def keep_freed_memory() -> None:
    """Let this process keep what items free at the end of its heap, up to 62 MB, for the next one.

    An item that decodes an image frees some megabytes at its end, and to get each page of them anew took a worker 5 to
    15 % of its time. glibc raises both of its thresholds when a large block is freed (`mallopt(3)`, M_MMAP_THRESHOLD):
    from then on blocks up to that size come from the heap, whose free end stays up to twice as much. What is freed
    below a block that is still in use stays in any case. Nothing is touched for it.
    """
    with contextlib.suppress(MemoryError):  # where a limit leaves no room for it
        bytes(KEPT_BYTES)


def work(cluster_id: int, number: int, queues: list[str], leader: int, slot: Slot) -> None:
    """The body of a worker process: django-q2's `worker()` on our queues, until asked to stop."""
    die_with(leader)
    keep_freed_memory()
    stop = Stop()
    signal.signal(signal.SIGTERM, stop.ask)
    signal.signal(signal.SIGINT, stop.ask)
    sessions.of_worker(cluster_id, number)
    hand.use(slot)
    holder.become(holder.Holder(cluster_id, number, draining=stop.asked))
    worker(Inbox(dispatch.queue_keys(queues), stop.asked, stop.wake), Outbox(), Timer(), -1)
