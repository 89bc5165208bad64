"""A cell of a report: any JSON value as text, and text made safe for whoever opens the file in a spreadsheet.

A spreadsheet runs what looks like a formula, whoever wrote it. So an apostrophe goes before it, also within a cell
where a spreadsheet that separates by semicolons or trips over a line break would begin a new one. What looks as if it
had been given an apostrophe is given one more; so taking one away wherever one was put gives back what was there.
"""

from __future__ import annotations

import json
import re
from typing import Any

_BLANKS = "[ \u00a0\u00ad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u2069\u3000\ufeff]"
"""What a spreadsheet may pass over on its way to a formula; without those that begin one themselves."""
_BEGINS = "[=+\\-@＝＋－＠﹦﹢﹣﹫]"  # noqa: RUF001 - they are meant
_FORMULA = re.compile(f"^(?='*{_BLANKS}*(?:{_BEGINS}|[\t\r\n]))|(?<=[;\t\r\n])(?='*{_BLANKS}*{_BEGINS})")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What ends a text in some programs and steers the terminal in others; not TAB, CR and LF."""
_SUSPECT = re.compile("[=+\\-@＝＋－＠﹦﹢﹣﹫\x00-\x1f\x7f-\x9f]")  # noqa: RUF001
"""Most cells have none of these, and a million rows have many cells."""
_JSON = json.JSONEncoder(ensure_ascii=False)


def text_of(value: Any) -> str:
    """A JSON value as a cell's text: a text as it is, nothing for null, any other value as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else _JSON.encode(value)


def safe(text: str) -> str:
    """The text as a spreadsheet may have it: no formula, no control character. Plain numbers stay numbers."""
    if not _SUSPECT.search(text):
        return text
    text = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub("'", text)


def unchanged(text: str) -> str:
    """The text as a program wants it."""
    return text
