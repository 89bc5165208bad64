"""How much of an input is taken, and how sizes and counts are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, ngettext

from bulkops.conf import conf
from bulkops.exceptions import InputError, InputTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """How much of one kind of input is taken."""

    what: str
    """What messages call the input."""
    size_bytes: int
    items: int


def file_limits() -> Limits:
    """The limits of an uploaded file or of standard input."""
    return Limits(gettext("file"), conf().file_bytes, conf().file_items)


def body_limits() -> Limits:
    """The limits of typed or pasted text."""
    return Limits(gettext("text"), conf().body_bytes, conf().body_items)


def counted(items: Iterable[Any], limits: Limits, none: str = "") -> Iterator[Any]:
    """The items, unless there are none (`none` says it in words) or too many. Raises InputError and InputTooLarge."""
    number = 0
    for number, item in enumerate(items, 1):
        if number > limits.items:
            raise InputTooLarge(
                gettext("The %(what)s has more than %(items)s items.")
                % {"what": limits.what, "items": f"{limits.items:,}"}
            )
        yield item
    if not number:
        raise InputError((none or gettext("The %(what)s is empty.")) % {"what": limits.what})


def size(size_bytes: int) -> str:
    """A size in words."""
    for unit, name in ((_MB, "MB"), (1024, "KB")):
        if size_bytes >= unit and size_bytes % unit == 0:
            return f"{size_bytes // unit:,} {name}"
    return ngettext("%(n)s byte", "%(n)s bytes", size_bytes) % {"n": f"{size_bytes:,}"}


def columns(number: int) -> str:
    """“1 column”, “2 columns”."""
    return ngettext("%(n)s column", "%(n)s columns", number) % {"n": number}


def values(number: int) -> str:
    """“1 value”, “2 values”."""
    return ngettext("%(n)s value", "%(n)s values", number) % {"n": number}
