"""What an answer means for its item: done, not now, refused, or unclear; and what of it is kept, with secrets struck.

A service's own reason phrase, headers and addresses are never repeated; its body is, in part, once it was redacted.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from bulkops.exceptions import BulkopsError, RetryAfter
from bulkops.outbound import NotSendable
from bulkops.outbound.places import place_of

if TYPE_CHECKING:
    from bulkops.contrib.http_calls.redaction import Redactor
    from bulkops.outbound.asking import Answer

NOTHING, STATUS, POINTER, BEGINNING = "nothing", "status", "pointer", "beginning"
KEPT_CHARS = 2_000
FIRST_WORDS = 300
READ_BYTES = {POINTER: 1024 * 1024}
OTHERWISE_READ_BYTES = 64 * 1024
LONGEST_WAIT_SECONDS = 3_600.0
"""However long a service asks to be left alone; a job is not to stand still for a day over a mistyped header."""
_RANGE = re.compile(r"([1-5][0-9][0-9])(?:\s*-\s*([1-5][0-9][0-9]))?")
_TRY_AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})
_NOT_NOW = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_UNREAD = object()


class Unexpected(BulkopsError):
    """The service answered otherwise than was expected."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.code = f"http-{status}"


class ServiceFailed(Unexpected):
    """The service failed by its own account; another time it may not, and this time it may have done some of it."""


class Redirected(Unexpected):
    """The service says that somebody else should be asked."""


@dataclass(frozen=True)
class Expected:
    """The statuses that mean success."""

    ranges: tuple[tuple[int, int], ...]

    def __contains__(self, status: int) -> bool:
        return any(first <= status <= last for first, last in self.ranges)


def read_expected(text: str) -> Expected | None:
    """“200-299, 404” as ranges; None for what is none."""
    found = [_RANGE.fullmatch(part.strip()) for part in text.split(",")]
    ranges = [(int(one[1]), int(one[2] or one[1])) for one in found if one is not None]
    if not ranges or len(ranges) < len(found) or any(first > last for first, last in ranges):
        return None
    return Expected(tuple(ranges))


def most_bytes(keep: str) -> int:
    """How much of a body is read."""
    return READ_BYTES.get(keep, OTHERWISE_READ_BYTES)


def result_of(answer: Answer, expected: Expected, keep: str, pointer: str, redactor: Redactor) -> Any:
    """What is kept of an expected answer. Raises RetryAfter, ServiceFailed, Redirected or Unexpected for another."""
    if answer.status not in expected:
        raise _refusal(answer, redactor)
    if keep == NOTHING:
        return None
    result: dict[str, Any] = {"status": answer.status}
    if keep == STATUS:
        return result
    if answer.is_packed:
        return result | {"kept": None, "note": "The answer came compressed, which was not asked for."}
    if keep == BEGINNING:
        return result | {"kept": _text(answer, redactor, KEPT_CHARS)}
    return result | _pointed_at(answer, pointer, redactor)


def _refusal(answer: Answer, redactor: Redactor) -> BulkopsError:
    said = _in_words(answer.status)
    if answer.status in _NOT_NOW and (answer.status == HTTPStatus.TOO_MANY_REQUESTS or answer.header("retry-after")):
        waiting = RetryAfter(answer.header("retry-after") or None, f"The service answered {said}.")
        waiting.seconds = min(waiting.seconds, LONGEST_WAIT_SECONDS)
        return waiting
    if answer.status in _REDIRECTS:
        where = _where_to(answer.header("location"), redactor)
        return Redirected(answer.status, f"The service answered {said}; redirects are not followed{where}.")
    words = "" if answer.is_packed else _first_words(answer, redactor)
    message = f"The service answered {said}" + (f": {words}" if words else ".")
    failed = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in _TRY_AGAIN
    return (ServiceFailed if failed else Unexpected)(answer.status, message)


def _in_words(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _where_to(location: str, redactor: Redactor) -> str:
    try:
        place, _ = place_of(location)
    except NotSendable:
        return ""
    return f" (to {redactor.text(place.host)})"


def _text(answer: Answer, redactor: Redactor, most: int) -> str:
    # Of UTF-16, NULs stand between all letters, where no secret would be found.
    words = answer.body.decode(errors="replace").replace("\x00", "")
    return redactor.text(words, most=most, whole=answer.whole)


def _first_words(answer: Answer, redactor: Redactor) -> str:
    said = _json(answer, otherwise=None)
    for name in ("detail", "message", "error_description", "error", "title"):
        if isinstance(said, dict) and isinstance(said.get(name), str) and said[name].strip():
            return " ".join(redactor.text(said[name], most=FIRST_WORDS).split())
    return " ".join(_text(answer, redactor, FIRST_WORDS).split())


def _json(answer: Answer, otherwise: Any) -> Any:
    if not answer.whole:
        return otherwise
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return otherwise


def _pointed_at(answer: Answer, pointer: str, redactor: Redactor) -> dict[str, Any]:
    """What the JSON pointer (RFC 6901) finds. The service did what it was asked, also where that is nothing."""
    value = _json(answer, otherwise=_UNREAD)
    if value is _UNREAD:
        return {"kept": None, "note": "The answer is no JSON, or too long or too deeply nested to be read."}
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and re.fullmatch(r"0|[1-9][0-9]{0,8}", name) and int(name) < len(value):
            value = value[int(name)]
        else:
            return {"kept": None, "note": f"The answer holds nothing at {pointer}."}
    try:
        return {"kept": redactor.json(value)}
    except RecursionError:
        return {"kept": None, "note": "The value is nested too deeply to be kept."}
