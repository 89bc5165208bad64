"""`manage.py nearest`: the nearest neighbours of a vector, from the shell."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bulkops.contrib.vectors.models import ENGINES
from bulkops.management.terminal import TerminalCommand, WrongUse, needed, table

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(TerminalCommand):
    """The nearest first."""

    help = "Find the nearest neighbours: manage.py nearest COLLECTION --vector '[0.1, 0.2]' or --id ID [-k N]"

    def add_arguments(self, parser: CommandParser) -> None:
        """Of what, and how many."""
        parser.add_argument("collection", metavar="COLLECTION")
        wanted = parser.add_mutually_exclusive_group(required=True)
        wanted.add_argument("--vector", metavar="NUMBERS", help="'[0.1, 0.2]' or '0.1 0.2'")
        wanted.add_argument("--id", metavar="ID", help="a vector of the collection; it is not its own neighbour")
        parser.add_argument("-k", type=int, default=10, metavar="N", help="how many (default: %(default)s)")
        parser.add_argument("--where", metavar="JSON", help="only those whose metadata contain this object")
        parser.add_argument("--exact", action="store_true", help="do not use the collection's index")
        parser.add_argument("--engine", choices=ENGINES, help="(default: pgvector where the database has it)")
        parser.add_argument("--json", action="store_true", help="a list of objects")

    def handle(self, **options: Any) -> None:
        """Search and print."""
        search = needed("bulkops.contrib.vectors.search")
        try:
            where = None if options["where"] is None else json.loads(options["where"])
        except (ValueError, RecursionError):
            raise WrongUse("--where must be a JSON object") from None
        how = {"k": options["k"], "where": where, "exact": options["exact"], "engine": options["engine"]}
        if options["id"] is not None:
            found = search.nearest_to(options["collection"], options["id"], **how)
        else:
            found = search.nearest(options["collection"], options["vector"], **how)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(one) for one in found], ensure_ascii=False, indent=2))
        elif found:
            rows = [(one.id, f"{one.distance:.6g}", json.dumps(one.metadata, ensure_ascii=False)) for one in found]
            self.stdout.write(table(("ID", "DISTANCE", "METADATA"), rows))
        else:
            self.note("Nothing was found.")
