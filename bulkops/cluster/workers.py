"""A cluster's worker processes: started, watched through their slots, replaced when they are gone.

A worker is killed when its item overstays, and when it stays stopped by a signal. What a dead one had in hand is kept
for the leader's next round, unless the death was nobody's fault.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import connections

from bulkops.cluster import process
from bulkops.cluster.slots import Slots
from bulkops.engine.hand import Doing

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

    from bulkops.cluster.slots import Seen
    from bulkops.engine.hand import InHand
    from bulkops.models import Cluster

logger = logging.getLogger("bulkops.cluster")

QUICK_DEATH_SECONDS = 1.0
"""A worker that dies within this time is not replaced at once: whatever kills it may kill the next one too."""
FROZEN_SECONDS = 5.0
"""A worker that stays stopped (SIGSTOP, a debugger) for so long is killed: what it holds waits for nobody."""


@dataclass
class Dead:
    """A worker whose process is gone, and what it had in hand if that is to blame."""

    number: int
    in_hand: InHand | None
    timed_out: bool


class Workers:
    """All of them; used by the leader alone."""

    def __init__(self, cluster: Cluster, wanted: int, queues: list[str]) -> None:
        self.cluster = cluster
        self.wanted = wanted
        self.queues = queues
        self.dead: list[Dead] = []
        """Not yet recorded; the leader takes them off."""
        self._processes: dict[int, ForkProcess] = {}
        self._slots = Slots(wanted)
        self._numbers = 0
        self._overdue: dict[int, Seen] = {}
        self._excused: set[int] = set()
        self._frozen_since: dict[int, float] = {}
        self._spawned_at = self._next_spawn = 0.0

    @property
    def living(self) -> list[int]:
        """Numbers of the workers that are alive, or dead and not recorded yet: what they hold is not taken back."""
        return [*self._processes, *(dead.number for dead in self.dead)]

    @property
    def any_left(self) -> bool:
        """Whether a process is left to wait for."""
        return bool(self._processes)

    def look(self, *, replace: bool) -> bool:
        """Watch each, note those that are gone, and start others for them; say whether one had gone."""
        gone = [number for number, child in self._processes.items() if not child.is_alive()]
        for number in gone:
            self._bury(number)
        for number, child in self._processes.items():
            self._watch(number, child)
        while replace and len(self._processes) < self.wanted and time.monotonic() >= self._next_spawn:
            self._spawn()
        return bool(gone)

    def ask_to_stop(self) -> None:
        """Each ends its item in hand and hands on. A worker that was just forked does not listen yet: ask again."""
        for child in self._processes.values():
            child.terminate()

    def kill(self) -> None:
        """End all at once; what they had in hand is not to blame."""
        self._excused |= set(self._processes)
        for child in self._processes.values():
            child.kill()

    def silent(self) -> dict[int, float]:
        """Each worker that has nothing in hand: for how many seconds it has given no sign of life."""
        return {number: self._slots.of(number).silent_seconds() for number in self._processes}

    def in_hand(self) -> dict[int, Seen]:
        """What each has in hand, of those that have anything."""
        seen = {number: self._slots.of(number).read() for number in self._processes}
        return {number: one for number, one in seen.items() if one is not None}

    def replace(self, number: int) -> None:
        """Kill one that is of no use any more; nothing it has in hand is to blame, and another is started."""
        self._excused.add(number)
        self._processes[number].kill()

    def _watch(self, number: int, child: ForkProcess) -> None:
        seen = self._slots.of(number).read()
        if seen is not None and seen.overdue:
            self._overdue[number] = seen
        elif self._stays_frozen(number, child):
            self._excused.add(number)
        else:
            return
        child.kill()

    def _stays_frozen(self, number: int, child: ForkProcess) -> bool:
        if not _is_stopped(child.pid):
            self._frozen_since.pop(number, None)
            return False
        return time.monotonic() - self._frozen_since.setdefault(number, time.monotonic()) > FROZEN_SECONDS

    def _bury(self, number: int) -> None:
        child = self._processes.pop(number)
        seen = self._slots.of(number).read()
        self._slots.give_back(number)
        overdue = self._overdue.pop(number, None)
        if overdue is not None and overdue != seen:
            self._excused.add(number)  # it ended in time after all, and the kill met the next one
        in_hand = None if seen is None or number in self._excused else seen.in_hand
        if in_hand is not None and in_hand.doing is Doing.TASK:
            if overdue is not None:
                logger.warning("cluster=%s worker=%s event=task_overdue", self.cluster.name, number)
            in_hand = None  # no job's affair
        self.dead.append(Dead(number, in_hand, timed_out=overdue is not None))
        self._excused.discard(number)
        self._frozen_since.pop(number, None)
        if time.monotonic() - self._spawned_at < QUICK_DEATH_SECONDS:
            self._next_spawn = time.monotonic() + QUICK_DEATH_SECONDS
        log = logger.info if child.exitcode == 0 else logger.warning
        log("cluster=%s worker=%s event=worker_ended status=%s", self.cluster.name, number, child.exitcode)

    def _spawn(self) -> None:
        connections.close_all()  # a connection shared over a fork would be used by two
        self._numbers += 1
        number = self._numbers
        child = multiprocessing.get_context("fork").Process(
            target=process.work,
            args=(self.cluster.pk, number, self.queues, os.getpid(), self._slots.take(number)),
            name=f"worker-{number}",
            daemon=True,
        )
        child.start()
        self._spawned_at = time.monotonic()
        self._processes[number] = child
        logger.info("cluster=%s worker=%s event=worker_started pid=%s", self.cluster.name, number, child.pid)


def _is_stopped(pid: int | None) -> bool:
    """Whether a signal or a debugger has stopped the process; False where /proc does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"T", "t"}
    except (OSError, IndexError):
        return False
