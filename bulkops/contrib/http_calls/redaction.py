"""Strikes secrets out of what other systems say, before any of it is kept: whole, in part, or spelled otherwise.

A text is compared window by window with every spelling of every secret, so that one cut off at either end is found
too; what can be left of it are fewer characters than a window has.
"""

from __future__ import annotations

import base64
import html
import json
import string
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

WINDOW = 8
"""Characters; no secret is shorter."""
STRUCK = "•••"
# Length is kept, which `lower` does not do for every letter.
_FOLDED = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_FOR_PAGES, _QUOTING = ({ord(one): f"\\u{ord(one):04x}" for one in characters} for characters in ("<>&", "='"))


class Redactor:
    """Knows some secrets' spellings."""

    def __init__(self, values: Iterable[str]) -> None:
        spellings = {spelling.translate(_FOLDED) for value in values for spelling in _spellings(value)}
        self._windows = {one[at : at + WINDOW] for one in spellings for at in range(len(one) - WINDOW + 1)}
        self._beginnings = {one[:length] for one in spellings for length in range(1, WINDOW)}

    def text(self, text: str, *, most: int | None = None, whole: bool = True) -> str:
        """The text's first `most` characters without any secret; not `whole`: more of it came and was not read."""
        covered = self._covered(text, whole)
        if not any(covered):
            return text[:most]
        kept, was = [], False
        for at, character in enumerate(text[:most]):
            if not covered[at]:
                kept.append(character)
            elif not was:
                kept.append(STRUCK)
            was = bool(covered[at])
        return "".join(kept)

    def _covered(self, text: str, whole: bool) -> bytearray:
        folded, covered = text.translate(_FOLDED), bytearray(len(text))
        if not self._windows:
            return covered
        for at in range(len(folded) - WINDOW + 1):
            if folded[at : at + WINDOW] in self._windows:
                covered[at : at + WINDOW] = b"\x01" * WINDOW
        if not whole:
            for length in range(min(WINDOW - 1, len(folded)), 0, -1):
                if folded[-length:] in self._beginnings:
                    covered[-length:] = b"\x01" * length
                    break
        return covered

    def json(self, value: Any) -> Any:
        """The same for each text, name and number of a JSON value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.json(inner) for inner in value]
        if isinstance(value, dict):
            return {self.text(name): self.json(inner) for name, inner in value.items()}
        if isinstance(value, int | float) and not isinstance(value, bool):
            said = json.dumps(value)
            return value if self.text(said) == said else STRUCK
        return value


def _spellings(value: str) -> Iterator[str]:
    encoded = value.encode()
    yield value
    yield value[::-1]
    yield quote(value, safe="")
    yield quote(value)
    yield quote(quote(value, safe=""), safe="")
    yield quote_plus(value)
    yield html.escape(value)
    yield html.escape(value, quote=False)
    for apostrophe in ("&#39;", "&#039;"):
        escaped = html.escape(value).replace("&#x27;", apostrophe)
        yield escaped
        yield escaped.replace("&quot;", "&#34;")
    yield encoded.hex()
    for escaped in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield escaped
        yield escaped.replace("/", "\\/")
        yield json.dumps(escaped)[1:-1]
        # As JSON that may stand in a page: what Go escapes by itself, and what Java's libraries do besides.
        yield escaped.translate(_FOR_PAGES)
        yield escaped.translate(_FOR_PAGES | _QUOTING)
    for skipped in range(3):
        # Wherever it stands in what was encoded: without the first characters, in which its neighbours have a part.
        for base64_text in (base64.b64encode(encoded[skipped:]), base64.urlsafe_b64encode(encoded[skipped:])):
            yield base64_text.decode()
            yield quote(base64_text.decode(), safe="")
