"""Makes anything that an item returns or raises storable: strict JSON, no NUL or lone surrogate, bounded in size.

Recording a failure must never fail, so each function here ends in a constant where all else goes wrong.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

UNREADABLE = "(this text could not be stored)"
UNREADABLE_JSON = '{"unstorable": true}'

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# An odd number of backslashes before u0000: the escape itself, not the six characters.
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_DEEPEST = 50


def text(value: Any, limit: int) -> str:
    """The value as text of at most `limit` characters that PostgreSQL takes."""
    try:
        clean = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", str(value)[: limit + 1])
        return clean if len(clean) <= limit else f"{clean[: limit - 14]}… (truncated)"
    except BaseException:
        return UNREADABLE


def has_nul(json_text: str) -> bool:
    """Whether a JSON text holds a NUL, which PostgreSQL's jsonb refuses."""
    return bool(_NUL_ESCAPE.search(json_text))


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        return "(nested too deeply)"
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {_plain(str(key), depth + 1): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner, depth + 1) for inner in value]
    try:
        return _plain(DjangoJSONEncoder().default(value), depth + 1)
    except TypeError:
        return _plain(str(value), depth + 1)


def json_text(value: Any, limit: int) -> str | None:
    """The value as strict JSON of at most `limit` bytes, or an object that says it was truncated; None stays None."""
    if value is None:
        return None
    try:
        encoded = json.dumps(_plain(value), allow_nan=False, ensure_ascii=False)
        size = len(encoded.encode())
        if size > limit:
            return json.dumps({"truncated": encoded[: limit // 8], "bytes": size})
        return encoded
    except BaseException:
        return UNREADABLE_JSON
