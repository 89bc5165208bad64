"""Shared memory between a leader and its workers: one slot a worker, in which it writes what it has in hand.

No lock, which a killed or frozen worker would keep: a slot carries a checksum of its content, and a reader takes only
what agrees with it. That holds on every processor, whatever order it makes writes visible in; counting the writes
did not, since `struct.pack_into` clears the place of a number before it writes it.
"""

from __future__ import annotations

import mmap
import struct
import time
import zlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from bulkops.engine.hand import Doing, InHand

_CONTENT = struct.Struct("=B16sddqqqq")
_CHECKSUM = struct.Struct("=L")
_SIZE = 128
_READS = 100


@dataclass(frozen=True)
class Seen:
    """What a worker has in hand, and since when by `time.monotonic()`, which all processes of a host share."""

    in_hand: InHand
    since: float

    @property
    def overdue(self) -> bool:
        """Whether the call has taken longer than it may."""
        limit = self.in_hand.limit_seconds
        return bool(limit) and time.monotonic() - self.since > limit


class Slot:
    """One worker's."""

    def __init__(self, memory: mmap.mmap, offset: int) -> None:
        self._memory = memory
        self._offset = offset

    def _put(self, content: bytes) -> None:
        whole = content + _CHECKSUM.pack(zlib.crc32(content))
        self._memory[self._offset : self._offset + len(whole)] = whole

    def write(self, in_hand: InHand) -> None:
        """Note what begins now; called by the worker only."""
        self._put(
            _CONTENT.pack(
                in_hand.doing,
                in_hand.job_id.bytes,
                time.monotonic(),
                in_hand.limit_seconds,
                in_hand.chunk_id,
                in_hand.epoch,
                in_hand.position,
                in_hand.attempt,
            )
        )

    def clear(self) -> None:
        """Note that nothing is in hand, and when."""
        self._put(_CONTENT.pack(0, bytes(16), time.monotonic(), 0, 0, 0, 0, 0))

    def read(self) -> Seen | None:
        """What is in hand; None if nothing is, or if the worker died while it wrote."""
        content = self._content()
        return None if content is None else _seen(*content)

    def silent_seconds(self) -> float:
        """For how long a worker that has nothing in hand has given no sign of life; 0 where it has."""
        doing, _, since, *_ = self._content() or (None, None, 0.0)
        return time.monotonic() - since if doing == 0 else 0.0

    def _content(self) -> tuple[Any, ...] | None:
        for _ in range(_READS):
            whole = self._memory[self._offset : self._offset + _CONTENT.size + _CHECKSUM.size]
            content, checksum = whole[: _CONTENT.size], whole[_CONTENT.size :]
            if _CHECKSUM.pack(zlib.crc32(content)) == checksum:
                return _CONTENT.unpack(content)
        return None


def _seen(
    doing: int, job: bytes, since: float, limit: float, chunk_id: int, epoch: int, position: int, attempt: int
) -> Seen | None:
    if not doing:
        return None
    in_hand = InHand(
        doing=Doing(doing),
        job_id=UUID(bytes=job),
        limit_seconds=limit,
        chunk_id=chunk_id,
        epoch=epoch,
        position=position,
        attempt=attempt,
    )
    return Seen(in_hand, since)


class Slots:
    """The slots of a cluster; made by the leader before it forks, so that every worker has the same memory."""

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, count * _SIZE)
        self._free = list(range(count))
        self._taken: dict[int, int] = {}

    def take(self, worker: int) -> Slot:
        """An empty slot for a worker that is about to be forked."""
        index = self._free.pop()
        self._taken[worker] = index
        slot = self.of(worker)
        slot.clear()
        return slot

    def of(self, worker: int) -> Slot:
        """A worker's slot."""
        return Slot(self._memory, self._taken[worker] * _SIZE)

    def give_back(self, worker: int) -> None:
        """Free the slot of a worker that is gone."""
        self._free.append(self._taken.pop(worker))
