"""Runs a command as the shell does, in this process: its arguments parsed, its exit code and both outputs returned."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import load_command_class


@dataclass
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error; fails if it is not one."""
        assert self.err.count("\n") == 1, self.err
        return self.err.strip()


@pytest.fixture
def run():
    """`run("jobs", "--json")` is `manage.py jobs --json`."""

    def run(name: str, *arguments: Any, stderr: io.StringIO | None = None) -> Ran:
        out, err = io.StringIO(), stderr or io.StringIO()
        command = load_command_class("bulkops", name)
        command.stdout._out, command.stderr._out = out, err
        command._called_from_command_line = True
        try:
            parser = command.create_parser("manage.py", name)
            options = vars(parser.parse_args([str(argument) for argument in arguments]))
            options.pop("args", None)
            command.execute(**options, stdout=out, stderr=err)
            code = 0
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0
        return Ran(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def lines(tmp_path):
    """A file of three items."""
    path = tmp_path / "three.txt"
    path.write_text("a\nb\nc\n")
    return path
