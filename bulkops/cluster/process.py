"""One worker process: it dies with its leader, and stops between two items when asked."""

from __future__ import annotations

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

_PR_SET_PDEATHSIG = 1

_draining = False


def _drain(_signum: int, _frame: FrameType | None) -> None:
    global _draining
    _draining = True


def _is_draining() -> bool:
    return _draining


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; leave at once if that has happened already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def work(cluster_id: int, number: int, queues: list[str], leader: int, slot: Slot) -> None:
    """The body of a worker process: django-q2's `worker()` on our queues, until asked to stop."""
    die_with(leader)
    signal.signal(signal.SIGTERM, _drain)
    signal.signal(signal.SIGINT, _drain)
    sessions.name_own(cluster_id, number)
    hand.use(slot)
    holder.become(holder.Holder(cluster_id, number, draining=_is_draining))
    worker(Inbox(dispatch.queue_keys(queues), _is_draining), Outbox(), Timer(), -1)
