"""A log line as one JSON object, for those who collect lines rather than read them.

bulkops' own lines are written as `job=%s event=%s …`. Their names and values become fields here, found in the format
that our code wrote and never in what was filled in: no text of a user can pass for a field.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

RENAMED = {"seconds": "duration_seconds"}
OWN = frozenset({"time", "level", "logger", "message", "process", "error", "traceback"})
_PART = re.compile(r"(?P<name>\b[a-z_]+)=(?P<value>%[-+ #0-9.]*[a-zA-Z]|[^\s%;,]+)|%[-+ #0-9.]*(?P<kind>[a-zA-Z%])")


class JsonLines(logging.Formatter):
    """One object a line: when, how bad, who, what; a traceback too, as one field."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON, whatever it holds."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        line |= {RENAMED.get(name, name): _plain(value) for name, value in _fields(record).items() if name not in OWN}
        line |= {"message": _message(record), "process": record.process}
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Names and values of a line of our own; none where its values cannot be told by their place."""
    if not isinstance(record.msg, str) or not record.name.startswith("bulkops"):
        return {}
    values = iter(record.args if isinstance(record.args, tuple) else ())
    found: dict[str, Any] = {}
    for part in _PART.finditer(record.msg):
        name, value = part["name"], part["value"]
        if name is None:
            if part["kind"] != "%":
                next(values, None)
        elif value.startswith("%"):
            found[name] = _number(value, next(values, None))
        else:
            found[name] = value
    return {name: value for name, value in found.items() if value not in (None, "-", "")}


def _number(how: str, value: Any) -> Any:
    """As exact as the line would say it."""
    return float(how % value) if isinstance(value, float) and how.endswith("f") else value


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | str) else str(value)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # a line must not be lost for its wrong arguments
        return str(record.msg)
