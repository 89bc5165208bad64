"""`manage.py api_token NAME --user USER`: makes a token of the HTTP API, for a script or a first try."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkops import tokens
from bulkops.management.terminal import TerminalCommand, WrongUse, find_user

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(TerminalCommand):
    """Prints the token, which nobody can read again."""

    help = "Make a token of the HTTP API for a user and print it, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        """What it is for, and whose it is."""
        parser.add_argument("name", metavar="NAME", help="what it is for")
        parser.add_argument("--user", required=True, metavar="NAME", help="for whom it acts")

    def handle(self, **options: Any) -> None:
        """Make it."""
        name = options["name"].strip()
        if not 1 <= len(name) <= tokens.NAME_CHARS or "\0" in name:
            raise WrongUse(f"a name has 1 to {tokens.NAME_CHARS} characters")
        _, text = tokens.make(user=find_user(options["user"]), name=name)
        self.stdout.write(text)
