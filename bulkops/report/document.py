"""The report as a file: which one is wanted, its name, and its text, block by block.

CSV as RFC 4180 has it: commas, CR LF, quotes where they are needed, UTF-8, a header always.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db.models import Max

from bulkops import job_ids
from bulkops.exceptions import InvalidReport
from bulkops.models import Chunk
from bulkops.report import cells, columns, ledger, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bulkops.models import Job
    from bulkops.report.rows import Row

BLOCK_CHARS = 64 * 1024
INCOMPLETE = "INCOMPLETE: the report could not be read to its end"
"""The last line of a file that breaks off, for whoever gets it through a proxy that hides how the answer ended."""
NAME_CHARS = 50


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which report of a job is wanted."""

    states: frozenset[str] = frozenset()
    """Only items in one of these; none named: all."""
    folded: bool = False
    """With what became of the items in the jobs that retried them."""
    raw: bool = False
    """Cells as they are, for programs; a spreadsheet might run one."""
    bom: bool = False
    """With the mark by which Excel tells UTF-8."""


def read_states(texts: Iterable[str]) -> frozenset[str]:
    """The states that are asked for, also several in one text, separated by commas. Raises InvalidReport."""
    wanted = frozenset(state for text in texts for state in text.split(",") if state)
    for state in sorted(wanted - set(ledger.STATES)):
        shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in state[:40])
        raise InvalidReport(f"There is no state “{shown}” of an item. There are {', '.join(ledger.STATES)}.")
    return wanted


class Report:
    """One report of a job. Making it reads the columns; `blocks` reads the rows."""

    def __init__(self, job: Job, wanted: Wanted) -> None:
        self._job = job
        self._wanted = wanted
        self._clean = cells.unchanged if wanted.raw else cells.safe
        highest = Chunk.objects.filter(job=job).aggregate(last=Max("number"))["last"]
        self._last = -1 if highest is None else highest
        self._columns = columns.of(job.pk, self._last)

    @property
    def header(self) -> list[str]:
        """The first line."""
        own = [*columns.OUTCOME, *([columns.JOB] if self._wanted.folded else [])]
        return [columns.POSITION, *map(self._clean, self._columns.names), *own]

    def blocks(self) -> Iterator[bytes]:
        """The file, piece by piece. Whatever goes wrong in between is raised, after a last line that says so."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        text.write("\ufeff" if self._wanted.bom else "")
        writer.writerow(self.header)
        try:
            found = rows.of(self._job, last=self._last, states=self._wanted.states, folded=self._wanted.folded)
            for row in found:
                writer.writerow(self._line(row))
                if text.tell() >= BLOCK_CHARS:
                    yield _taken(text)
        except Exception:  # raised again; whoever has the beginning is told that it is one
            writer.writerow([INCOMPLETE])
            yield _taken(text)
            raise
        yield _taken(text)

    def _line(self, row: Row) -> list[str]:
        told = row.told
        written = map(self._clean, (told.error_code, told.message, told.result or ""))
        line = [str(row.position), *map(self._clean, self._columns.cells(row.item))]
        line += [told.state, str(told.attempts), *written, _moment(told.finished_at)]
        if self._wanted.folded:
            line.append("" if told.job is None else str(told.job))
        return line


def file_name(job: Job, wanted: Wanted) -> str:
    """What the file is called: the job's name without what a file system or a dialog could trip over, and its id."""
    kept = "".join(
        char if unicodedata.category(char)[0] in "LNM" or char in " ._" else "-"
        for char in unicodedata.normalize("NFC", job.name or job.operation)
    )
    name = re.sub(r"[-\s]*-[-\s]*", "-", kept[:NAME_CHARS]).strip(" .-_") or "report"
    parts = [name, job_ids.short(job.pk), *sorted(wanted.states), *(["with-retries"] if wanted.folded else [])]
    return f"{'-'.join(parts)}.csv"


def _moment(at: datetime | None) -> str:
    return "" if at is None else at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _taken(text: io.StringIO) -> bytes:
    """What has been written since the last time, as UTF-8."""
    block = text.getvalue().encode(errors="replace")
    text.seek(0)
    text.truncate()
    return block
