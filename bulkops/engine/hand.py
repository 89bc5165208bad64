"""What this worker has in hand at the moment, told to its cluster's leader without a lock and without the database.

It is noted before each `process`, each step of `items` and each `finish`, and taken back after it, also when that
raised. So whatever is still noted when a worker's process is gone is what it died with. Taking back is a sign of life
too, which an idle worker repeats: one that has nothing in hand and gives none for long is stuck.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from types import TracebackType


NO_JOB = UUID(int=0)


class Doing(IntEnum):
    """Which of an author's methods is running; or a task of the project's own, which is no job's affair."""

    ITEM = 1
    ITEMS = 2
    FINISH = 3
    TASK = 4


class InHand(NamedTuple):
    """One call of an author's code."""

    doing: Doing
    limit_seconds: float
    """How long the call may take; 0: no limit."""
    job_id: UUID = NO_JOB
    chunk_id: int = 0
    epoch: int = 0
    position: int = 0
    attempt: int = 1
    """Of an item: more than 1 where it was deferred before."""


class Note(Protocol):
    """Where it is written."""

    def write(self, in_hand: InHand) -> None:
        """Note what begins now."""

    def clear(self) -> None:
        """Note that nothing is in hand, and that this worker lives."""


class _Nowhere:
    def write(self, in_hand: InHand) -> None:
        """Nobody watches this process."""

    def clear(self) -> None:
        """Nobody watches this process."""


_note: Note = _Nowhere()


def use(note: Note | None) -> None:
    """Write there from now on; once, when a worker process begins."""
    global _note
    _note = note or _Nowhere()


def note(in_hand: InHand) -> None:
    """An author's code begins; the time that it may take counts from now."""
    _note.write(in_hand)


def put_down() -> None:
    """It has ended; or this worker, which has nothing in hand, lives."""
    _note.clear()


class Holding:
    """While an author's code runs. No generator of `contextlib`, which takes three times as long."""

    __slots__ = ("_in_hand",)

    def __init__(self, in_hand: InHand) -> None:
        self._in_hand = in_hand

    def __enter__(self) -> None:
        note(self._in_hand)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        put_down()
