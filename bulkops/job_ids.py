"""The id of a job: it begins with the moment of its making, and ends with 74 bits that nobody can guess.

A UUID of version 7 (RFC 9562). What belongs to jobs of the same time so lies together in an index, and can be kept in
one partition. The moment is that of the host's own clock: it sorts, and decides nothing.
"""

from __future__ import annotations

import secrets
import time
import uuid

_VERSION, _VARIANT = 0x7 << 76, 0x2 << 62
SHORT = 8


def new() -> uuid.UUID:
    """One that nobody has had."""
    milliseconds = time.time_ns() // 1_000_000
    chance = secrets.randbits(12) << 64 | secrets.randbits(62)
    return uuid.UUID(int=milliseconds << 80 | _VERSION | _VARIANT | chance)


def short(job_id: uuid.UUID) -> str:
    """Enough of it to tell a person's jobs apart: its end, since jobs of the same minute begin alike."""
    return job_id.hex[-SHORT:]
