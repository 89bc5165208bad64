"""What the fields of an author's form are, told as plain data: names, types, defaults, choices."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from django import forms

if TYPE_CHECKING:
    from collections.abc import Iterator

CHOICES_SHOWN = 50
"""A choice field may stand for a whole table."""

# The first that fits counts, so subclasses come before their bases.
TYPES: tuple[tuple[type[forms.Field], str], ...] = (
    (forms.BooleanField, "boolean"),
    (forms.NullBooleanField, "boolean"),
    (forms.FloatField, "number"),
    (forms.DecimalField, "decimal"),
    (forms.IntegerField, "integer"),
    (forms.DateTimeField, "date and time"),
    (forms.DateField, "date"),
    (forms.TimeField, "time"),
    (forms.DurationField, "duration"),
    (forms.EmailField, "e-mail address"),
    (forms.URLField, "URL"),
    (forms.UUIDField, "UUID"),
    (forms.JSONField, "JSON"),
    (forms.ModelMultipleChoiceField, "several choices"),
    (forms.MultipleChoiceField, "several choices"),
    (forms.ModelChoiceField, "choice"),
    (forms.ChoiceField, "choice"),
)


def described(form: type[forms.Form] | None, secret: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """The form's fields in their order; the defaults of secret ones are not shown."""
    if form is None:
        return []
    return [_field(name, field, hidden=name in secret) for name, field in form().fields.items()]


def _field(name: str, field: forms.Field, *, hidden: bool) -> dict[str, Any]:
    default = field.initial() if callable(field.initial) else field.initial
    described = {
        "name": name,
        "type": next((word for kind, word in TYPES if isinstance(field, kind)), "text"),
        "required": field.required,
        "default": "•••" if hidden and default is not None else default,
        "help": str(field.help_text),
    }
    if isinstance(field, forms.ChoiceField | forms.ModelChoiceField):
        described["choices"] = list(itertools.islice(_choices(field), CHOICES_SHOWN))
    return described


def _choices(field: Any) -> Iterator[str]:
    """The values that may be given, those of named groups too."""
    for value, label in field.choices:
        if isinstance(label, list | tuple):
            yield from (str(inner) for inner, _ in label)
        elif value != "":
            yield str(value)
