"""Which column is which field, asked on the page: a select for each field, with the columns of the person's own table.

The answers travel as `column:<field>`, which no parameter can be called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django import forms
from django.utils.translation import gettext

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bulkops.operation import Operation

PREFIX = "column:"
COLUMNS_SHOWN = 1_000
"""More would be a page of megabytes."""


def answered(data: Mapping[str, str], operation: Operation) -> dict[str, str]:
    """The column chosen for each field."""
    fields = operation.Item().fields if operation.Item is not None else {}
    return {name: data[PREFIX + name] for name in fields if data.get(PREFIX + name)}


class ColumnsForm(forms.Form):
    """Asks for the column of each of these fields."""

    def __init__(
        self, operation: Operation, fields: Iterable[str], columns: Iterable[str], answers: Mapping[str, str]
    ) -> None:
        super().__init__(initial={PREFIX + name: column for name, column in answers.items()})
        item = operation.Item() if operation.Item is not None else forms.Form()
        choices = [
            ("", gettext("Choose a column")),
            *((column, _short(column)) for column in list(columns)[:COLUMNS_SHOWN]),
        ]
        for name in fields:
            self.fields[PREFIX + name] = forms.ChoiceField(
                label=gettext("Column for “%(field)s”") % {"field": item[name].label}, choices=choices, required=False
            )


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:80]}…"
