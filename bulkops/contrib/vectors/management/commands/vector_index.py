"""`manage.py vector_index`: makes or drops a collection's index, and the extension it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import Error

from bulkops.management.terminal import REFUSED, TerminalCommand, WrongUse, first_line, needed
from bulkops.outage import is_away

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(TerminalCommand):
    """Exit 1 where the database has no such extension or refuses it."""

    help = "Make a collection's index, which makes searches quick and approximate: manage.py vector_index COLLECTION"

    def add_arguments(self, parser: CommandParser) -> None:
        """Which collection, and what to do."""
        parser.add_argument("collection", nargs="?", metavar="COLLECTION")
        parser.add_argument("--create-extension", action="store_true", help="make the extension “vector” first")
        parser.add_argument("--drop", action="store_true", help="drop the index; searches are exact again")

    def handle(self, **options: Any) -> None:
        """In this order: the extension, the index."""
        if options["collection"] is None and not options["create_extension"]:
            raise WrongUse("name a COLLECTION, or say --create-extension")
        search, pgvector = needed("bulkops.contrib.vectors.search"), needed("bulkops.contrib.vectors.pgvector")
        # Asked first: a misspelt name is to change nothing.
        collection = None if options["collection"] is None else search.find_collection(options["collection"])
        if options["create_extension"]:
            self.create_extension(pgvector)
        if collection is None:
            self.stdout.write("the extension “vector” is there")
            return
        if options["drop"]:
            pgvector.drop_index(collection)
            self.stdout.write(f"{collection.name}: no index")
        else:
            pgvector.make_index(collection)
            self.stdout.write(f"{collection.name}: indexed, {collection.dimension:,} dimensions, {collection.metric}")

    def create_extension(self, pgvector: Any) -> None:
        """Make it; a server without it, or a user without the right, is told in one line."""
        try:
            pgvector.create_extension()
        except Error as error:
            if is_away(error):
                raise
            self.note(f"vector_index: the extension “vector” cannot be made: {first_line(error)}")
            raise SystemExit(REFUSED) from None
