"""File locks of the embedded server: one to start or stop it, one that counts the processes that use it.

Both are flock(2) locks: the kernel drops them when a process ends, however it ends, so no count is ever left wrong.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from project.embedded.places import EmbeddedPostgresError

PATIENCE_SECONDS = 120


def _open(path: Path) -> IO[str]:
    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_NOFOLLOW, 0o600)

    return open(path, "a", opener=opener)


def _take(file: IO[str], kind: int) -> None:
    """Wait for the lock, but not for ever: a frozen holder is said, not suffered."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"another process has held {file.name} for {PATIENCE_SECONDS} s") from None
            time.sleep(0.02)


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock alone."""
    with _open(path) as file:
        _take(file, fcntl.LOCK_EX)
        yield


class Users:
    """This process's membership among those who use the server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._pid = 0

    def join(self) -> None:
        """Count this process in until it ends."""
        if self._pid == os.getpid():
            return
        # After a fork the lock in hand is the parent's own: it would vanish when the parent converts it.
        file = _open(self._path)
        _take(file, fcntl.LOCK_SH)
        self._file, self._pid = file, os.getpid()

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody else is counted; while it is so, nobody can join."""
        self.join()
        assert self._file is not None  # noqa: S101 - join() has set it
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _take(self._file, fcntl.LOCK_SH)  # a conversion that fails has dropped the shared lock
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._file, fcntl.LOCK_SH)
