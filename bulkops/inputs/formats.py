"""Which format an input is in: by a file's name, or, for pasted text, by what it looks like.

Without an `Item` form a line is an item, and only what cannot well be meant as lines is taken for something else: a
JSON list, lines that are all JSON objects or lists, and cells copied from a spreadsheet, which have tabs between them.
"""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from django.utils.translation import gettext

from bulkops.exceptions import InputError

if TYPE_CHECKING:
    from bulkops.operation import Operation

SUFFIXES = (".csv", ".jsonl", ".json", ".txt")
_OTHER_SUFFIXES = {".tsv": "csv", ".tab": "csv", ".ndjson": "jsonl"}
ACCEPTED_SUFFIXES = (*SUFFIXES, *_OTHER_SUFFIXES)
_NUMBER = re.compile(r"[-+]?[\d.,\s]+")


def of_file(name: str) -> str:
    """The format that a file's name says. Raises InputError for another ending."""
    suffix = PurePath(name).suffix.lower()
    if suffix in SUFFIXES:
        return suffix[1:]
    if suffix in _OTHER_SUFFIXES:
        return _OTHER_SUFFIXES[suffix]
    if suffix:
        words = gettext("A file's name must end in %(several)s or %(last)s, not %(suffix)s.")
    else:
        words = gettext("A file's name must end in %(several)s or %(last)s, and this one has no ending.")
    raise InputError(words % {"several": ", ".join(SUFFIXES[:-1]), "last": SUFFIXES[-1], "suffix": suffix})


def of_text(text: str, operation: Operation | None) -> str:
    """The format that typed or pasted text is in."""
    with_form = operation is not None and operation.Item is not None
    lines = [line for line in text.splitlines() if line.strip()]
    first = lines[0].strip() if lines else ""
    if first[:1] in {"[", "{"}:
        if first[0] == "[" and _is_json(text, list):
            return "json"
        if all(_is_json(line, dict, list) for line in lines):
            return "jsonl"
        if with_form:
            # No column is called so; what is wrong with the JSON is told when it is read for good.
            return "json" if first[0] == "[" or _is_json(text, dict) else "jsonl"
    if with_form or first.lower().startswith("sep=") or _are_cells(lines):
        return "csv"
    return "txt"


def _is_json(text: str, *kinds: type) -> bool:
    if text.strip()[:1] not in {"[", "{"}:
        return False
    try:
        return isinstance(json.loads(text), kinds)
    except RecursionError:
        return True
    except ValueError:
        return False


def _are_cells(lines: list[str]) -> bool:
    """Whether they were copied from a spreadsheet: several columns everywhere, under names."""
    widths = {line.count("\t") for line in lines}
    names = [name.strip() for name in lines[0].split("\t")] if lines else []
    return (
        len(lines) > 1
        and len(widths) == 1
        and len(names) > 1
        and len(set(names)) == len(names)
        and not any(not name or _NUMBER.fullmatch(name) for name in names)
    )
