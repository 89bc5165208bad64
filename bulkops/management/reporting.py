"""`manage.py job ID report`: its options, and where the report goes.

A file gets its name only once it is complete. What goes to standard output and breaks off ends with a line that says
so, and with the command's exit code.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bulkops import report
from bulkops.exceptions import InvalidReport
from bulkops.management.terminal import WrongUse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.core.management.base import CommandParser

    from bulkops.models import Job

OPTIONS = ("state", "folded", "raw", "bom", "output")


def add_arguments(parser: CommandParser) -> None:
    """What the report takes."""
    parser.add_argument("--state", action="append", metavar="STATE", help="report: only items in that state")
    parser.add_argument("--folded", action="store_true", help="report: with what became of the items in retries")
    parser.add_argument("--raw", action="store_true", help="report: cells as they are, not made safe for spreadsheets")
    parser.add_argument("--bom", action="store_true", help="report: with the mark by which Excel tells UTF-8")
    parser.add_argument("--output", metavar="FILE", help="report: into that file, not to standard output")


def check_options(options: dict[str, Any], *, wanted: bool) -> None:
    """Raises WrongUse where they stand beside another control, or one of another control beside the report."""
    given = [name for name in OPTIONS if options[name]]
    if given and not wanted:
        raise WrongUse(f"--{given[0]} is for report")
    if wanted and options["json"]:
        raise WrongUse("a report is CSV; --json is for the other controls")


def write(job: Job, options: dict[str, Any], stdout: Any) -> None:
    """Write the report of a job. Raises WrongUse, and the database's error where it goes away."""
    try:
        wanted = report.Wanted(
            states=report.read_states(options["state"] or ()),
            folded=options["folded"],
            raw=options["raw"],
            bom=options["bom"],
        )
    except InvalidReport as refusal:
        raise WrongUse(refusal.message) from None
    blocks = report.Report(job, wanted).blocks()
    try:
        with _opened(options["output"], stdout) as put:
            for block in blocks:
                put(block)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise WrongUse(f"the report can't be written: {error.strerror or error}") from None


@contextmanager
def _opened(name: str | None, stdout: Any) -> Iterator[Callable[[bytes], Any]]:
    if name is None or name == "-":
        yield _to_standard_output(stdout)
    elif (path := Path(name)).exists() and not path.is_file():
        # A pipe or a device: nothing may take its place.
        with path.open("wb") as file:
            yield file.write
    else:
        with _replacing(path) as put:
            yield put


def _to_standard_output(stdout: Any) -> Callable[[bytes], Any]:
    """UTF-8 whatever the terminal's own encoding is, and line ends as they are."""
    stdout.flush()
    if hasattr(stdout, "buffer"):
        return stdout.buffer.write
    return lambda block: stdout.write(block.decode(), ending="")


@contextmanager
def _replacing(path: Path) -> Iterator[Callable[[bytes], Any]]:
    """A file beside the one wanted, which takes its place at the end; of one that breaks off, nothing stays."""
    target = path.resolve()
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name[:100]}.", delete=False) as file:
        try:
            yield file.write
            file.flush()
            Path(file.name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
            Path(file.name).replace(target)
        except BaseException:  # raised again, Ctrl-C too; nothing half-written stays
            Path(file.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
