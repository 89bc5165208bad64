"""Makes anything that an item returns or raises storable: strict JSON, no NUL or lone surrogate, bounded in size.

Recording a failure must never fail, so each function here ends in a constant where all else goes wrong.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder

if TYPE_CHECKING:
    from collections.abc import Iterable

UNREADABLE = "(this text could not be stored)"
UNREADABLE_JSON = '{"unstorable": true}'

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
# An odd number of backslashes before u0000: the escape itself, not the six characters.
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_DEEPEST = 50
_LOOKED_AT = 64 * 1024 * 1024
_PART_BYTES = 64
_CUT = "… (truncated)"


def _storable(words: str) -> str:
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", words)


def text(value: Any, limit: int) -> str:
    """The value as text of at most `limit` characters that PostgreSQL takes."""
    try:
        clean = _storable(str(value)[: limit + 1])
        return clean if len(clean) <= limit else f"{clean[: max(0, limit - len(_CUT))]}{_CUT}"[:limit]
    except BaseException:  # recording a failure must never fail, whatever an author's `__str__` raises
        return UNREADABLE


def strict_json(value: Any) -> str:
    """Strict JSON of what programs hand over; dates, decimals and UUIDs, such as primary keys, become their text.

    Raises TypeError or ValueError for NaN, and for what has no text of that kind.
    """
    return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"), cls=DjangoJSONEncoder)


def has_nul(json_text: str) -> bool:
    """Whether a JSON text holds a NUL, which PostgreSQL's jsonb refuses."""
    return bool(_NUL_ESCAPE.search(json_text))


class _Plain:
    """Rebuilds a value out of what JSON knows, and stops where that is certainly larger than allowed.

    Without the stop, a small value that refers to its parts many times over would grow without end.
    """

    def __init__(self, limit: int) -> None:
        self.left = max(_LOOKED_AT, limit * _PART_BYTES)
        """Bytes of memory that may still be used. When they run out, more than `limit` bytes of JSON are there."""

    def value(self, value: Any, depth: int = 0) -> Any:
        self.left -= _PART_BYTES
        if depth > _DEEPEST:
            return "(nested too deeply)"
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            self.left -= value.bit_length() // 4
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, str):
            return self.words(value)
        if isinstance(value, dict):
            return self._dict(value, depth + 1)
        if isinstance(value, list | tuple | set | frozenset):
            return self._list(value, depth + 1)
        try:
            known = DjangoJSONEncoder().default(value)
        except Exception:  # unknown to the encoder, or an object whose methods raise anything
            return self.words(text(value, self._room()))
        return self.value(known, depth + 1)

    def words(self, words: str) -> str:
        clean = _storable(words[: self._room()])
        self.left -= len(clean)
        return clean

    def _room(self) -> int:
        # One more than is left, so that what is cut here is known to be too large.
        return max(self.left, 0) + 1

    def _dict(self, value: dict[Any, Any], depth: int) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key, inner in value.items():
            if self.left < 0:
                break
            # A number or a tuple as a key is no JSON, but no reason to lose the result either.
            plain[self.words(text(key, self._room()))] = self.value(inner, depth)
        return plain

    def _list(self, value: Iterable[Any], depth: int) -> list[Any]:
        plain: list[Any] = []
        for inner in value:
            if self.left < 0:
                break
            plain.append(self.value(inner, depth))
        return plain


def json_text(value: Any, limit: int) -> str | None:
    """The value as strict JSON of at most `limit` bytes, or an object that says it was truncated; None stays None.

    `bytes` there is its size, as far as it was looked at: some 64 MB.
    """
    if value is None:
        return None
    try:
        encoded = json.dumps(_Plain(limit).value(value), allow_nan=False, ensure_ascii=False)
        size = len(encoded.encode())
        if size > limit:
            # A character takes four bytes at most, also where it is escaped once more.
            return json.dumps({"truncated": encoded[: limit // 8], "bytes": size}, ensure_ascii=False)
        return encoded
    except BaseException:  # as in `text`
        return UNREADABLE_JSON
