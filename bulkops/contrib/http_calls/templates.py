"""Texts with placeholders: `{column}`, `{column:number}`, `{secret:NAME}`, `{basic:NAME}`; `{{` and `}}` are braces.

A placeholder is looked up, never evaluated: its name is a column's, whatever it looks like. What a cell holds can't
become more than one value: it is percent-encoded in an address and put into JSON as a value, not as text.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, unquote

from bulkops.exceptions import BulkopsError
from bulkops.outbound import NotSendable
from bulkops.outbound.places import Place, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

KINDS = ("text", "number", "boolean")
MOST_PLACEHOLDERS = 200
LARGEST_BODY = 256 * 1024
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SECRET_NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_ORIGIN = re.compile(r"[^/?#]*//[^/?#]*(?=[/?])")
_NOT_IN_ADDRESS = re.compile(r"[\x00-\x1f\x7f\\#]")
_HALF_ENCODED = re.compile(r"%[0-9A-Fa-f]?\Z")
_LITERAL_IN_ADDRESS = "%/:?[]@!$&'()*+,;=-._~"
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class TemplateError(BulkopsError):
    """This text cannot be filled in."""

    code = "http-template"


class RowUnfit(BulkopsError):
    """This row cannot be sent."""

    code = "http-row"


@dataclass(frozen=True)
class Column:
    """A cell of the row."""

    name: str
    kind: str = ""


@dataclass(frozen=True)
class SecretPart:
    """The value of a secret; `basic`: as HTTP's Basic authentication wants it."""

    name: str
    basic: bool


Part = str | Column | SecretPart


def parse(text: str) -> tuple[Part, ...]:
    """The literal texts and placeholders, in order. Raises TemplateError."""
    parts: list[Part] = []
    end = 0
    for found in _TOKEN.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        token = found.group()
        if token in {"{{", "}}"}:
            parts.append(token[0])
        elif found[1] is None:
            raise TemplateError("A brace that is no placeholder's is written twice: {{ or }}.")
        else:
            parts.append(_placeholder(found[1]))
    parts.append(text[end:])
    if sum(not isinstance(part, str) for part in parts) > MOST_PLACEHOLDERS:
        raise TemplateError(f"At most {MOST_PLACEHOLDERS} placeholders.")
    return tuple(_joined(parts))


def _joined(parts: list[Part]) -> Iterator[Part]:
    literal = ""
    for part in parts:
        if isinstance(part, str):
            literal += part
            continue
        if literal:
            yield literal
        literal = ""
        yield part
    if literal:
        yield literal


def _placeholder(inner: str) -> Part:
    name, colon, rest = (piece.strip() for piece in inner.partition(":"))
    if colon and name in {"secret", "basic"} and rest not in KINDS:
        if not _SECRET_NAME.fullmatch(rest):
            raise TemplateError(f"“{rest[:100]}” is no secret's name.")
        return SecretPart(rest, name == "basic")
    if not name:
        raise TemplateError("A placeholder names a column: {column}.")
    if colon and rest not in KINDS:
        raise TemplateError(f"{{{inner[:100]}}}: after the colon stands {', '.join(KINDS[:-1])} or {KINDS[-1]}.")
    return Column(name, rest)


def secrets_of(parts: tuple[Part, ...]) -> set[str]:
    """Names of the secrets that stand there."""
    return {part.name for part in parts if isinstance(part, SecretPart)}


# -- cells


def _cell(item: Mapping[str, Any], column: Column) -> Any:
    try:
        value = item[column.name]
    except KeyError:
        raise RowUnfit(f"The row has no column “{column.name[:100]}”.") from None
    if column.kind == "number":
        return _number(value, column)
    if column.kind == "boolean":
        return _boolean(value, column)
    return _text(value, column) if column.kind == "text" else value


def _text(value: Any, column: Column) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return json.dumps(value)
    raise RowUnfit(f"Column “{column.name[:100]}” holds {'nothing' if value is None else 'no single value'}.")


def _number(value: Any, column: Column) -> int | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    found = _NUMBER.fullmatch(value.strip()) if isinstance(value, str) and len(value) < 400 else None
    if found is None:
        raise RowUnfit(f"Column “{column.name[:100]}” holds no number: write it as 1234.5.")
    if not found[1] and not found[2]:
        return int(found.group())
    number = float(found.group())
    if not math.isfinite(number) or Decimal(repr(number)) != Decimal(found.group()):
        raise RowUnfit(f"Column “{column.name[:100]}” holds a number with more digits than JSON numbers keep.")
    return number


def _boolean(value: Any, column: Column) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return _BOOLEANS[str(value).strip().lower()]
    except KeyError:
        raise RowUnfit(f"Column “{column.name[:100]}” holds neither true nor false.") from None


def fill(parts: tuple[Part, ...], item: Mapping[str, Any], reveal: Callable[[SecretPart], str]) -> str:
    """The text with its placeholders filled in. Raises RowUnfit."""
    return "".join(_filled(part, item, reveal) for part in parts)


def _filled(part: Part, item: Mapping[str, Any], reveal: Callable[[SecretPart], str]) -> str:
    if isinstance(part, str):
        return part
    return reveal(part) if isinstance(part, SecretPart) else _text(_cell(item, part), part)


# -- addresses


class AddressTemplate:
    """An address whose host is written out; cells stand in path and query, where each stays one component."""

    def __init__(self, text: str) -> None:
        """Raises TemplateError, or NotSendable for an address that no row could make right."""
        self.parts = parse(text)
        if secrets_of(self.parts):
            raise TemplateError("Addresses are written into many logs: secrets stand in headers and body only.")
        literals = [part for part in self.parts if isinstance(part, str)]
        if any(_NOT_IN_ADDRESS.search(part) for part in literals):
            raise TemplateError("An address holds no backslash, no “#” and no control character.")
        if any(_HALF_ENCODED.search(part) for part in literals):
            raise TemplateError("A percent sign is followed by two digits: write it as %25.")
        first = self.parts[0] if self.parts and isinstance(self.parts[0], str) else ""
        if len(self.parts) != 1 and not _ORIGIN.match(first):
            raise TemplateError("The host is written out: placeholders stand behind the first / or ? after it.")
        self.place: Place = place_of(self._filled(lambda _: "x"))[0]

    def fill(self, item: Mapping[str, Any]) -> str:
        """The address for that row. Raises RowUnfit."""
        address = self._filled(lambda column: _text(_cell(item, column), column))
        try:
            place, _ = place_of(address)
        except NotSendable as error:
            raise RowUnfit(error.message) from None
        if place != self.place:
            raise RowUnfit("The row would change the address's host.")
        return address

    def _filled(self, cell: Callable[[Column], str]) -> str:
        filled, in_query = "", False
        for part in self.parts:
            if isinstance(part, Column):
                filled += quote(cell(part), safe="") if in_query else _in_path(cell(part), part)
            else:
                filled += quote(str(part), safe=_LITERAL_IN_ADDRESS)
                in_query = in_query or "?" in str(part)
        path = filled.partition("?")[0].partition("//")[2]
        if any(_as_routed(segment) in {".", ".."} for segment in path.split("/")):
            raise RowUnfit("The address would hold a path segment “.” or “..”, which leads elsewhere.")
        return filled


def _as_routed(text: str) -> str:
    """What the most obliging of servers would see: many decode before they route, and some do it again."""
    while (decoded := unicodedata.normalize("NFKC", unquote(text))) != text:
        text = decoded
    return text


def _in_path(text: str, column: Column) -> str:
    # An encoded slash splits the path all the same.
    seen = _as_routed(text)
    if not seen.strip():
        raise RowUnfit(f"Column “{column.name[:100]}” is empty, and the address's path would lead elsewhere.")
    if re.search(r"[/\\\x00-\x1f\x7f]", seen):
        raise RowUnfit(f"Column “{column.name[:100]}” holds a slash or a control character, which a path can't hold.")
    return quote(text, safe="")


# -- JSON


class BodyTemplate:
    """A JSON text; placeholders stand in its strings, and a string that is one placeholder becomes the cell's value."""

    def __init__(self, text: str) -> None:
        """Raises TemplateError."""
        try:
            content = json.loads(text, parse_constant=_refuse_constant)
            self.secrets: set[str] = set()
            self._placeholders = 0
            self._content = self._parsed(content)
        except (ValueError, RecursionError) as error:
            at = f" at line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
            raise TemplateError(f"The body is no JSON{at}; placeholders stand in its strings.") from None

    def _parsed(self, value: Any) -> Any:
        if isinstance(value, str):
            parts = parse(value)
            self.secrets |= secrets_of(parts)
            self._placeholders += sum(not isinstance(part, str) for part in parts)
            if self._placeholders > MOST_PLACEHOLDERS:
                raise TemplateError(f"At most {MOST_PLACEHOLDERS} placeholders.")
            return _Text(parts)
        if isinstance(value, list):
            return [self._parsed(inner) for inner in value]
        if isinstance(value, dict):
            return {_name(name): self._parsed(inner) for name, inner in value.items()}
        return value

    def fill(self, item: Mapping[str, Any], reveal: Callable[[SecretPart], str]) -> bytes:
        """The body for that row. Raises RowUnfit."""
        body = json.dumps(_filled_json(self._content, item, reveal), allow_nan=False, ensure_ascii=False).encode()
        if len(body) > LARGEST_BODY:
            raise RowUnfit(f"The body would be larger than {LARGEST_BODY:,} bytes.")
        return body


@dataclass(frozen=True)
class _Text:
    parts: tuple[Part, ...]


def _name(text: str) -> str:
    parts = parse(text)
    if any(not isinstance(part, str) for part in parts):
        raise TemplateError("The name of a JSON field is written out; placeholders stand in values.")
    return "".join(str(part) for part in parts)


def _filled_json(content: Any, item: Mapping[str, Any], reveal: Callable[[SecretPart], str]) -> Any:
    if isinstance(content, _Text):
        only = content.parts[0] if len(content.parts) == 1 else None
        return _cell(item, only) if isinstance(only, Column) else fill(content.parts, item, reveal)
    if isinstance(content, list):
        return [_filled_json(inner, item, reveal) for inner in content]
    if isinstance(content, dict):
        return {name: _filled_json(inner, item, reveal) for name, inner in content.items()}
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
