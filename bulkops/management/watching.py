"""Follows one job in a terminal until it has ended or stands still: a bar that is redrawn, or lines where nobody looks.

Watching changes nothing: it only reads, and outlives a database that is away for a while.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, TextIO

from django.db import Error, connection

from bulkops import snapshots, wording
from bulkops.management.terminal import bar, first_line, fit, printable, writes_plain
from bulkops.models import Job
from bulkops.outage import is_away
from bulkops.states import ACTIVE, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from uuid import UUID

    from bulkops.progress import Progress

POLL_SECONDS = 0.5
FIRST_POLLS = (0.05, 0.1, 0.1, 0.2, 0.2)
"""A small job is over within a blink; whoever waits for it should not wait for the clock."""
PATIENCE_SECONDS = 300.0
"""How long the database may be away before the watching ends; the job does not need it."""
WIDTH_WITHOUT_TERMINAL = 100


def watch(job_id: UUID, stream: TextIO, *, pause: Callable[[float], Any] = time.sleep) -> Job:
    """Draw the job's progress on the stream until it ends or is paused; returns the job as it is then.

    Raises the database's error where it stays away for `PATIENCE_SECONDS`.
    """
    face = _LiveBar(stream) if stream.isatty() else _Lines(stream)
    away_since: float | None = None
    try:
        for wait in _waits():
            try:
                found = snapshots.of(job_id)
            except Error as error:
                if not is_away(error):
                    raise
                # A broken connection is never mended; the next query opens a new one.
                connection.close()
                now = time.monotonic()
                if away_since is None:
                    away_since = now
                    face.remark(f"The database does not answer ({first_line(error)}); the job is safe, still trying.")
                if now - away_since > PATIENCE_SECONDS:
                    raise
            else:
                if away_since is not None:
                    away_since = None
                    face.remark("The database answers again.")
                if found is None:
                    raise Job.DoesNotExist(f"There is no job {job_id} any more.")
                job, figures = found
                face.draw(job, figures)
                if job.state not in ACTIVE or job.state == JobState.PAUSED:
                    return job
            pause(wait)
    finally:
        face.close()
    raise AssertionError("the waits never end")


def _waits() -> Iterator[float]:
    yield from FIRST_POLLS
    while True:
        yield POLL_SECONDS


def sentence(job: Job, figures: Progress) -> str:
    """The figures in words: “450 of 1,000, 3 failed, 85 a second, about 2 to 3 minutes left, Running”."""
    parts = [f"{figures.processed:,} of {figures.total:,}"] if figures.total is not None else []
    for name in ("failed", "in_doubt", "skipped", "deferred"):
        count = getattr(figures, name)
        if count:
            parts.append(f"{count:,} {name.replace('_', ' ')}")
    if figures.rate_per_second and job.is_active:
        parts.append(wording.rate(figures.rate_per_second))
    if figures.time_left:
        parts.append(f"{figures.time_left} left")
    if not job.is_active and figures.elapsed_seconds is not None:
        parts.append(f"in {wording.span(figures.elapsed_seconds)}")
    parts.append(figures.words + (f" ({figures.advice})" if job.state == JobState.FAILED and figures.advice else ""))
    if job.message and job.is_active:
        parts.append(job.message)
    return printable(", ".join(parts))


class _LiveBar:
    """One line that is drawn over itself."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.plain = writes_plain(stream)
        self.drawn = 0

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or WIDTH_WITHOUT_TERMINAL
        except (OSError, ValueError):
            return WIDTH_WITHOUT_TERMINAL

    def draw(self, job: Job, figures: Progress) -> None:
        # The last column stays free: a terminal that wraps there would scroll at each redraw.
        columns = self._columns() - 1
        length = max(5, min(30, columns // 4))
        line = fit(
            f"{bar(figures.percent, length, plain=self.plain)} {figures.percent:3d} % {sentence(job, figures)}", columns
        )
        if self.plain:
            line = line.encode("ascii", "replace").decode()
        self.stream.write("\r" + line + " " * max(0, min(self.drawn, columns) - len(line)))
        self.stream.flush()
        self.drawn = len(line)

    def remark(self, text: str) -> None:
        """A line of its own above the bar."""
        self.close()
        self.stream.write(printable(text) + "\n")
        self.stream.flush()

    def close(self) -> None:
        if self.drawn:
            self.stream.write("\n")
            self.stream.flush()
            self.drawn = 0


class _Lines:
    """A line for each change of state and each tenth of the way, so that a log file stays short."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.last: tuple[str, int, bool] | None = None

    def draw(self, job: Job, figures: Progress) -> None:
        now = (job.state, figures.percent // 10, figures.stalled)
        if now != self.last:
            self.last = now
            self.remark(f"{figures.percent:3d} % {sentence(job, figures)}")

    def remark(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Nothing is left open."""
