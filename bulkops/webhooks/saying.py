"""What came of one attempt, whichever way it went out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Said:
    """The answer, or why there is none."""

    seconds: float
    error: str = ""
    """In words; empty where it was delivered."""
    status: int | None = None
    answer: str = ""
    """Its first characters, a stranger's text."""
    wait_seconds: float = 0.0
    """For how long the other side asked to be left alone."""
