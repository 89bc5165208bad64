"""An author's form as JSON Schema: what programs may send as parameters and items."""

from __future__ import annotations

from itertools import islice
from typing import Any

from django import forms

from bulkops.fields import CHOICES_SHOWN

_TEXT: dict[str, Any] = {"type": "string"}
# The first that fits counts, so subclasses come before their bases.
_TYPES: tuple[tuple[type[forms.Field], dict[str, Any]], ...] = (
    (forms.NullBooleanField, {"type": ["boolean", "null"]}),
    (forms.BooleanField, {"type": "boolean"}),
    (forms.FloatField, {"type": "number"}),
    (forms.DecimalField, {"type": ["number", "string"], "format": "decimal"}),
    (forms.IntegerField, {"type": "integer"}),
    (forms.DateTimeField, _TEXT | {"format": "date-time"}),
    (forms.DateField, _TEXT | {"format": "date"}),
    (forms.TimeField, _TEXT | {"format": "time"}),
    (forms.DurationField, _TEXT | {"format": "duration"}),
    (forms.EmailField, _TEXT | {"format": "email"}),
    (forms.URLField, _TEXT | {"format": "uri"}),
    (forms.UUIDField, _TEXT | {"format": "uuid"}),
    (forms.JSONField, {}),
    (forms.ModelMultipleChoiceField, {"type": "array", "items": {"type": ["string", "integer"]}}),
    (forms.MultipleChoiceField, {"type": "array", "items": {"type": ["string", "integer"]}}),
    (forms.ModelChoiceField, {"type": ["string", "integer"]}),
    (forms.ChoiceField, {"type": ["string", "integer"]}),
)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def params_schema(form: type[forms.Form] | None, secret: tuple[str, ...]) -> dict[str, Any]:
    """Of the parameters; others than these are errors."""
    return {"$schema": _DIALECT, **_object(form, secret, lenient=True), "additionalProperties": False}


def item_schema(form: type[forms.Form] | None) -> dict[str, Any]:
    """Of an item; anything at all where the operation declares no form of it."""
    return {"$schema": _DIALECT} if form is None else {"$schema": _DIALECT, **_object(form, (), lenient=False)}


def _object(form: type[forms.Form] | None, secret: tuple[str, ...], *, lenient: bool) -> dict[str, Any]:
    """`lenient`: what has a default may be left out."""
    fields = {} if form is None else form().fields
    required = [name for name, field in fields.items() if field.required and not (lenient and _has_default(field))]
    return {
        "type": "object",
        "properties": {name: _field(field, hidden=name in secret) for name, field in fields.items()},
        "required": required,
    }


def _has_default(field: forms.Field) -> bool:
    return field.initial is not None or type(field) is forms.BooleanField


def _field(field: forms.Field, *, hidden: bool) -> dict[str, Any]:
    schema = dict(next((told for kind, told in _TYPES if isinstance(field, kind)), _TEXT))
    if field.label:
        schema["title"] = str(field.label)
    if field.help_text:
        schema["description"] = str(field.help_text)
    for ours, theirs in (
        ("min_value", "minimum"),
        ("max_value", "maximum"),
        ("min_length", "minLength"),
        ("max_length", "maxLength"),
    ):
        limit = getattr(field, ours, None)
        if isinstance(limit, int | float) and not callable(limit):
            schema[theirs] = limit
    if hidden:
        schema["writeOnly"] = True
    elif isinstance(field.initial, str | int | float | bool):
        schema["default"] = field.initial
    if type(field) in {forms.ChoiceField, forms.TypedChoiceField}:
        values = [str(value) for value in islice(_values(field), CHOICES_SHOWN + 1)]
        if len(values) <= CHOICES_SHOWN:
            schema |= {"type": "string", "enum": values}
    return schema


def _values(field: Any) -> Any:
    """The values that may be given, those of named groups too."""
    for value, label in field.choices:
        if isinstance(label, list | tuple):
            yield from (inner for inner, _ in label)
        else:
            yield value
