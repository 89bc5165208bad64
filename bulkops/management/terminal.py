"""What the commands share: one-line refusals with exit codes, arguments that name a job or a user, bars and tables.

Texts of users and authors pass through `printable`, so that none of them can steer somebody's terminal.
"""

from __future__ import annotations

import logging
import os
import sys
import unicodedata
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError
from django.db import Error, ProgrammingError

from bulkops import refusals, wording
from bulkops.exceptions import BulkopsError, ReportBroken
from bulkops.models import Job
from bulkops.outage import is_away
from bulkops.refusals import ACTIVE_JOB, REFUSED, TRY_AGAIN, WRONG_USE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.core.management.base import CommandParser

INTERRUPTED = 130


class WrongUse(CommandError):
    """The command was called wrongly: one line, exit 2."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=WRONG_USE)


class TerminalCommand(BaseCommand):
    """A command that answers a mistake with one line and an exit code, never with a traceback (`--traceback` shows it).

    Exit codes: 1 refused by the job's state, 2 wrong use, 4 the database does not answer or is busy, 130 Ctrl-C.
    """

    # Worker and release step run the checks; here their warnings would drown the answer.
    requires_system_checks = ()

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Argparse's own complaints fit on one line too."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)

        def error(message: str) -> NoReturn:
            self.leave(subcommand, WrongUse(f"{message} (see --help)"))

        parser.error = error  # type: ignore[method-assign]
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; what went wrong on purpose becomes a line and an exit code."""
        name = type(self).__module__.rpartition(".")[2]
        try:
            with _quiet_log(unless=options.get("verbosity", 1) > 1), wording.english():
                output = super().execute(*args, **options)
            # Now, while somebody listens: what is left for Python's exit fails there with no code of ours.
            self.stdout.flush()
            return output
        except (CommandError, BulkopsError, Error, KeyboardInterrupt) as error:
            # Of the database's errors only those that are no fault of ours become words.
            ours = isinstance(error, Error) and not (is_away(error) or isinstance(error, ProgrammingError))
            if ours or options.get("traceback"):
                raise
            self.leave(name, error)
        except BrokenPipeError:
            # The reader, such as `head`, has seen enough; Python would complain again when it flushes at its exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0) from None

    def leave(self, name: str, error: BaseException) -> NoReturn:
        """Say in one line why the command ends, and end it."""
        code, text = _verdict(error)
        self.stderr.write(f"{name}: {printable(text)}")
        raise SystemExit(code) from None

    def answer_with(self, running: Job, words: str) -> NoReturn:
        """Where a slot is taken: the id of the job that has it on standard output, exit 3."""
        self.stdout.write(str(running.pk))
        self.note(words)
        raise SystemExit(ACTIVE_JOB) from None

    def note(self, text: str) -> None:
        """A remark beside the answer, on standard error and in no alarming colour."""
        self.stderr.write(printable(text), style_func=str)


@contextmanager
def _quiet_log(*, unless: bool) -> Iterator[None]:
    """The log is for processes that nobody watches; here it would come between the answer and its reader."""
    logger = logging.getLogger("bulkops")
    level = logger.level
    if not unless:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _verdict(error: BaseException) -> tuple[int, str]:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if isinstance(error, Error) and is_away(error):
        return TRY_AGAIN, f"the database does not answer: {first_line(error)}"
    if isinstance(error, ProgrammingError):
        return TRY_AGAIN, f"the database lacks tables or columns, run manage.py migrate: {first_line(error)}"
    if isinstance(error, CommandError):
        return error.returncode, str(error)
    if isinstance(error, ReportBroken):
        return REFUSED, str(error)
    refusal = refusals.of(error)
    return WRONG_USE if refusal is None else refusal.exit_code, str(error)


def first_line(error: BaseException) -> str:
    """The first line of an error, without the database's notes below it."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# -- arguments, and what a command needs


def needed(module: str) -> Any:
    """A module that needs a package which may be absent. Raises WrongUse, which names the package."""
    try:
        return import_module(module)
    except ModuleNotFoundError as missing:
        raise WrongUse(f"this needs the module “{missing.name}”, which is not installed") from None


def find_job(text: str) -> Job:
    """The job of that id. Raises WrongUse."""
    try:
        key = UUID(text)
    except ValueError:
        raise WrongUse(f"“{text}” is no job id") from None
    job = Job.objects.select_related("owner").filter(pk=key).first()
    if job is None:
        raise WrongUse(f"there is no job {key}")
    return job


def find_user(name: str) -> Any:
    """The user of that name, whatever field the project's user model has for it. Raises WrongUse."""
    model = get_user_model()
    try:
        return model._default_manager.get(**{model.USERNAME_FIELD: name})
    except model.DoesNotExist:
        raise WrongUse(f"there is no user “{name}”") from None
    except ValueError:
        raise WrongUse(f"“{name}” cannot be a user's name") from None


# -- texts


def printable(text: Any) -> str:
    """The text on one line, with nothing in it that a terminal would obey."""
    flat = " ".join(str(text).split())
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in {"Cc", "Cf", "Cs"} else char for char in flat
    )


def fit(text: str, width: int) -> str:
    """As much of the text as fits into so many columns; some characters take two, some none."""
    used = 0
    for index, char in enumerate(text):
        used += 0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if used > width:
            return text[:index]
    return text


def bar(percent: int, width: int = 20, *, plain: bool = False) -> str:
    """A bar of that many columns; full only at 100."""
    done = width * percent // 100
    return ("#" * done + "-" * (width - done)) if plain else ("█" * done + "░" * (width - done))


def writes_plain(stream: Any) -> bool:
    """Whether the stream's encoding has no blocks to draw a bar with."""
    return "utf" not in (getattr(stream, "encoding", None) or "utf-8").lower()


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, two blanks apart."""
    lines = [[printable(cell) for cell in line] for line in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
