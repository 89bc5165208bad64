"""JSON as it is taken: strictly, with nothing that PostgreSQL or another program could not hold."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from django.utils.translation import gettext

from bulkops.exceptions import InputError
from bulkops.storable import has_nul


def parse(text: str, line: int | None = None) -> Any:
    """The value of a JSON text. `line` is where it stands; without one, errors count lines themselves.

    Raises InputError.
    """
    try:
        value = _DECODER.decode(text)
        if "\\u" in text:
            _refuse_unstorable_escapes(value, text, line)
    except json.JSONDecodeError as error:
        raise InputError(
            gettext("this is not JSON: %(msg)s at column %(colno)s.") % {"msg": error.msg, "colno": error.colno},
            line or error.lineno,
        ) from None
    except RecursionError:
        raise InputError(gettext("this JSON is nested too deeply."), line) from None
    except ValueError as error:
        raise InputError(gettext("this is not JSON that can be stored: %(error)s.") % {"error": error}, line) from None
    return value


def _refuse_unstorable_escapes(value: Any, text: str, line: int | None) -> None:
    if has_nul(text):
        raise InputError(gettext("a text holds a NUL character (\\u0000), which cannot be stored."), line)
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError(
            gettext("a text holds half a character (a lone surrogate), which cannot be stored."), line
        ) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python's own words name the call that would raise its limit
        raise ValueError(f"{digits[:40]}… has too many digits ({len(digits):,})") from None


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:40]} is too large a number")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of two values under one key, one would be lost without a word."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key “{next(name for name in names if names.count(name) > 1)[:40]}” stands twice in it")
    return made


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_whole
)
