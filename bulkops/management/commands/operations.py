"""`manage.py operations`: lists what can be run, with parameters and item fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bulkops import fields, registry
from bulkops.management.terminal import TerminalCommand, printable

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from bulkops.operation import Operation


class Command(TerminalCommand):
    """By name."""

    help = "List the operations with their parameters and item fields."

    def add_arguments(self, parser: CommandParser) -> None:
        """For people, or for programs."""
        parser.add_argument("--json", action="store_true")

    def handle(self, **options: Any) -> None:
        """Print them all."""
        found = [described(operation) for operation in registry.every()]
        if options["json"]:
            self.stdout.write(json.dumps(found, ensure_ascii=False, indent=2, default=str))
        elif found:
            self.stdout.write("\n\n".join(in_words(one) for one in found))
        else:
            self.note("There are no operations: declare some in an app's operations.py.")


def described(operation: Operation) -> dict[str, Any]:
    """An operation as plain data."""
    return {
        "name": operation.name,
        "title": operation.title,
        "description": operation.description,
        "permission": operation.permission,
        "collects": operation.collects,
        "takes_files": operation.takes_files,
        "transactional": operation.transactional,
        "parallelism": operation.parallelism,
        "queue": operation.queue,
        "params": fields.described(operation.Params, operation.secret),
        "item_fields": fields.described(operation.Item),
    }


def in_words(one: dict[str, Any]) -> str:
    """An operation on a few lines."""
    given = "files as its items: --files" if one["takes_files"] else "items"
    items = "collects its own items, or takes given ones" if one["collects"] else f"needs {given}"
    lines = [one["name"], f"  {printable(one['description'] or one['title'])}", f"  {items}"]
    lines.append(f"  permission: {one['permission'] or 'none, everyone who is logged in'}")
    for heading, key in (("parameter", "params"), ("item field", "item_fields")):
        lines += [f"  {heading} {field_in_words(field)}" for field in one[key]]
    return "\n".join(lines)


def field_in_words(field: dict[str, Any]) -> str:
    """A field on one line: “cents (integer, required): by how much”."""
    notes = [field["type"]]
    if field["default"] is not None:
        notes.append(f"default {field['default']}")
    elif field["required"]:
        notes.append("required")
    if field.get("choices"):
        notes.append("one of " + ", ".join(field["choices"]))
    text = f": {field['help']}" if field["help"] else ""
    return printable(f"{field['name']} ({', '.join(notes)}){text}")
