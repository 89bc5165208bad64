"""What is sent: JSON, read strictly and up to a limit, and multipart whose parts are what JSON would be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework.parsers import BaseParser, MultiPartParser

from bulkops.api.pointers import pointer_to
from bulkops.api.problems import Problem, invalid
from bulkops.conf import conf
from bulkops.exceptions import InputError
from bulkops.inputs import json_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rest_framework.request import Request
    from rest_framework.serializers import Serializer

JSON_PARTS = frozenset(
    {"params", "items", "tags", "metadata", "parallelism", "limit", "rate_per_second", "email_at_end"}
)
"""Parts of a multipart body that hold JSON; the others are texts."""
LIST_PARTS = frozenset({"tags"})
"""Of these, those that may stand there several times instead, each with one text."""
FILE_PARTS = frozenset({"file"})


class JsonBody(BaseParser):
    """An object as JSON."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:  # noqa: ARG002
        """Raises a problem: too-large or malformed."""
        content = stream.read(conf().body_bytes + 1)
        if len(content) > conf().body_bytes:
            raise Problem("too-large", f"The body is larger than {conf().body_bytes:,} bytes; send a file.")
        if not content.strip():
            return {}
        try:
            return json_values.parse(content.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise Problem("malformed", "The body is not UTF-8.") from None
        except InputError as error:
            raise Problem("malformed", error.message) from None


class MultipartBody(MultiPartParser):
    """Texts, JSON parts and files."""


def plain_of(request: Request) -> dict[str, Any]:
    """The body as one object, whatever it came as; files are in `request.FILES`. Raises a problem."""
    data = request.data
    if not hasattr(data, "getlist"):
        if not isinstance(data, dict):
            raise invalid("#", "The body must be an object.")
        return data
    given: dict[str, Any] = {}
    for name in data:
        if name in request.FILES:
            continue
        given[name] = _part(name, data.getlist(name))
    return given


def _part(name: str, texts: list[str]) -> Any:
    text, *others = texts
    if name in LIST_PARTS and (others or not text.lstrip().startswith("[")):
        return texts
    if others:
        raise invalid(pointer_to(name), "This part stands there more than once.")
    if name in FILE_PARTS:
        raise invalid(pointer_to(name), "This part has no file name, so it is a text and not a file.")
    if name not in JSON_PARTS:
        return text
    try:
        return json_values.parse(text)
    except InputError as error:
        raise invalid(pointer_to(name), error.message) from None


def read(request: Request, shape: type[Serializer]) -> dict[str, Any]:
    """The body, checked against a shape; unknown fields are errors. Raises a problem."""
    return checked(plain_of(request), shape)


def checked(given: dict[str, Any], shape: type[Serializer]) -> dict[str, Any]:
    """An object that fits the shape. Raises a problem that names each misfit."""
    serializer = shape(data=given)
    errors = [
        {"pointer": pointer_to(name), "detail": "There is no such field."}
        for name in given
        if name not in serializer.fields
    ]
    if not serializer.is_valid():
        errors += _flat(serializer.errors, [])
    if errors:
        raise Problem("validation", f"{errors[0]['pointer']}: {errors[0]['detail']}", errors=errors)
    return serializer.validated_data


def _flat(errors: Any, path: list[str]) -> list[dict[str, str]]:
    if isinstance(errors, dict):
        pairs: Iterable[tuple[Any, Any]] = errors.items()
        return [one for name, inner in pairs for one in _flat(inner, _step(path, name))]
    if isinstance(errors, list) and any(isinstance(one, dict | list) for one in errors):
        return [one for place, inner in enumerate(errors) for one in _flat(inner, [*path, str(place)])]
    return [{"pointer": pointer_to(*path), "detail": " ".join(map(str, errors))}]


def _step(path: list[str], name: Any) -> list[str]:
    return path if name == "non_field_errors" else [*path, str(name)]
