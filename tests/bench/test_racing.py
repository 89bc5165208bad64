"""Of those who race, one at a time works, and what they did is told by the time that each had."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.bench.racing import race

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORK = "import sys, time\nwhile True:\n    sys.stdout.write('.'); sys.stdout.flush(); time.sleep(0.002)"


class Writer:
    """A process that writes a byte every two milliseconds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        with self.path.open("wb") as out:
            self.process = subprocess.Popen([sys.executable, "-c", WORK], stdout=out)

    def count(self) -> int:
        return self.path.stat().st_size

    def end(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def moves(self) -> bool:
        """Whether it is alive."""
        if self.process is None:
            return False
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).status() != psutil.STATUS_ZOMBIE
        return False


class Broken(Writer):
    def begin(self) -> None:
        super().begin()
        raise RuntimeError("it does not start")


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[Writer, Writer]]:
    """Nobody's process is left, whatever the test says."""
    writers = Writer(tmp_path / "one"), Writer(tmp_path / "two")
    yield writers
    for writer in writers:
        if writer.process is not None:
            writer.process.kill()


@pytest.mark.slow
def test_one_at_a_time_works_and_each_has_its_time(two):
    one, other = two
    seen, over = set(), threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            seen.add((one.moves(), other.moves()))

    watching = threading.Thread(target=watch)
    watching.start()
    rates = race({"one": one, "other": other}, seconds=0.5)
    over.set()
    watching.join()
    assert {(True, False), (False, True)} <= seen
    assert (True, True) not in seen
    # One byte in two milliseconds or more: nobody can be told to have been faster in time of its own.
    assert 0 < rates["one"] < 550
    assert 0 < rates["other"] < 550


def test_who_fails_to_start_leaves_nobody_running(two, tmp_path):
    one, _ = two
    with pytest.raises(RuntimeError, match="does not start"):
        race({"one": one, "broken": Broken(tmp_path / "broken")}, seconds=0.5)
    assert not one.moves()
