"""Which column of a table is which field of an operation's items.

A column's own name decides, then what the person says, then likeness: case, accents, spaces, hyphens and underscores
do not count, and a field's label is as good as its name. Two columns that could both be a field are refused.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext

from bulkops.exceptions import ColumnsMissing, InputError
from bulkops.inputs.limits import columns as count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkops.inputs.reading import Choice
    from bulkops.operation import Operation

_NAMED_AT_MOST = 20


@dataclass(frozen=True)
class Columns:
    """The columns of a table, and what they are taken as."""

    keys: list[str]
    """The key of each column in an item."""
    taken: dict[str, str]
    """The field of each column that has another name than its field."""
    unused: list[str]
    """Columns that no field is taken from; empty without an `Item` form."""


def folded(name: str) -> str:
    """What two names have in common that a person would call the same."""
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())
    # Accents are marks (M); a right-to-left mark or a stray byte order mark is a format character (Cf).
    return "".join(c for c in apart if unicodedata.category(c)[0] != "M" and unicodedata.category(c) != "Cf").translate(
        _IGNORED
    )


_IGNORED = {ord(c): None for c in " \t\r\n-_\u2010\u2011\u2013"}


def header(names: list[str], line: int) -> list[str]:
    """The columns' names. Raises InputError for empty and doubled ones."""
    columns = [name.strip() for name in names]
    empty = [number for number, name in enumerate(columns, 1) if not name]
    if empty:
        raise InputError(
            gettext("the header has no name for column %(number)s (%(columns)s).")
            % {"number": empty[0], "columns": _found(columns)},
            line,
        )
    doubled = [name for name, times in Counter(columns).items() if times > 1]
    if doubled:
        raise InputError(
            gettext("the header names %(names)s more than once.") % {"names": ", ".join(doubled[:_NAMED_AT_MOST])},
            line,
        )
    return columns


def assign(columns: list[str], line: int, operation: Operation | None, choice: Choice) -> Columns:
    """What each column is taken as. Raises InputError, and ColumnsMissing where a required field has none."""
    labels = _labels(operation)
    if operation is None or not labels:
        if choice.columns and not choice.lenient:
            raise InputError(gettext("This operation's items have no fields that a column could be taken as."))
        return Columns(columns, {}, [])
    said = _said(columns, labels, choice)
    found = said | {name: name for name in columns if name in labels and name not in said.values() and name not in said}
    found |= _alike([name for name in columns if name not in found], labels, set(found.values()), line)
    missing = [name for name in operation.item_fields() if name not in found.values()]
    if missing:
        raise ColumnsMissing(
            gettext("the header lacks %(count)s: %(missing)s (%(columns)s).")
            % {"count": count(len(missing)), "missing": ", ".join(missing), "columns": _found(columns)},
            line,
            missing=missing,
            columns=columns,
        )
    taken = {name: to for name, to in found.items() if name != to}
    unused = [name for name in columns if name not in found]
    return Columns(_keys(columns, found), taken, unused)


def matches(names: list[str], operation: Operation | None, choice: Choice) -> int:
    """How many of the names would be taken as a field, or are spoken of; tells the right delimiter."""
    known = {folded(word) for name, label in _labels(operation).items() for word in (name, label)}
    return sum(name.strip() in choice.columns or folded(name) in known for name in names)


def _labels(operation: Operation | None) -> dict[str, str]:
    if operation is None or operation.Item is None:
        return {}
    form = operation.Item()
    return {name: str(form[name].label) for name in form.fields}


def _said(columns: list[str], labels: Mapping[str, str], choice: Choice) -> dict[str, str]:
    """What the person said, by the columns' names in full."""
    said: dict[str, str] = {}
    for name, to in choice.columns.items():
        if to not in labels:
            raise InputError(
                gettext("The items have no field “%(to)s”; their fields: %(labels)s.")
                % {"to": to, "labels": ", ".join(labels)}
            )
        alike = [name] if name in columns else [column for column in columns if folded(column) == folded(name)]
        if len(alike) == 1:
            if to in said.values():
                raise InputError(gettext("Two columns are said to be %(to)s.") % {"to": to})
            said[alike[0]] = to
        elif not choice.lenient:
            raise InputError(
                gettext("There is no column “%(name)s” (%(columns)s).") % {"name": name, "columns": _found(columns)}
            )
    return said


def _alike(columns: list[str], labels: Mapping[str, str], have: set[str], line: int) -> dict[str, str]:
    """Columns by likeness, for the fields that have none. A name counts before another field's label.

    Raises ColumnsMissing where more than one is alike.
    """
    names = {folded(name): name for name in labels}
    found: dict[str, str] = {}
    folds = {column: folded(column) for column in columns}
    for name, label in labels.items():
        if name in have:
            continue
        words = {folded(name)} | ({folded(label)} if folded(label) not in names else set())
        candidates = [column for column, fold in folds.items() if fold in words - {""}]
        if len(candidates) > 1 or (candidates and candidates[0] in found):
            either = gettext(" and ").join(f"“{column}”" for column in candidates[:3])
            raise ColumnsMissing(
                gettext("%(either)s could both be %(name)s; rename one, or say which it is.")
                % {"either": either, "name": name},
                line,
                missing=[name],
                columns=columns,
            )
        found |= dict.fromkeys(candidates, name)
    return found


def _keys(columns: list[str], found: Mapping[str, str]) -> list[str]:
    """Keys of an item; a column that was passed over for another keeps its values under another key."""
    keys: list[str] = []
    used = set(found.values()) | {name for name in columns if name not in found}
    for name in columns:
        key = found.get(name, name)
        if name not in found and key in found.values():
            while key in used:
                key += " (not used)"
            used.add(key)
        keys.append(key)
    return keys


def _found(columns: list[str]) -> str:
    names = ", ".join(columns[:_NAMED_AT_MOST]) + (", …" if len(columns) > _NAMED_AT_MOST else "")
    return gettext("found: %(names)s") % {"names": names}
