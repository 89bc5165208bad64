"""What makes two failures alike: the error's code, and its message without what varies from item to item.

Numbers, quoted texts, dates, identifiers and addresses give way to one sign. What is left is shown as the group's
words, and hashed together with the code it is the fingerprint. A recorded fingerprint is never made anew, so another
rule here changes later failures only; the same failure then has two groups in a job that runs across the deploy.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

LENGTH = 12
"""Characters of a fingerprint: 48 bits, of which a job has fifty."""
LOOKED_AT = 500
"""Characters of a message that count; those behind are details, and the patterns stay cheap."""
WORDS = 300
"""Characters of a group's words."""
VARIES = "…"

# In this order. Each may look at a character a few times only, since messages come from anywhere.
_VARYING = re.compile(
    r"""
    (?P<address>\b\w+://[^\s"'<>]+ | [^\s"'<>()=,;@]+@[^\s"'<>()=,;@]+)
    | (?P<value>(?<==)\([^()]*\) | (?<=\bcontains\ )\(.*)        # as in “Key (code)=(17) already exists”
    | (?P<quoted>"[^"]*" | “[^”]*” | «[^»]*» | `[^`]*`
        | (?<!\w)'(?:[^']|'(?=\w))*'(?!\w) | (?<!\w)\u2018[^\u2019]*\u2019)
    | (?P<path>(?<![^\s(:=,])/[^\s"'<>:,;()]+)
    | (?P<number>(?<!\w)[-+]?(?=\w*\d)\w+(?:[.,:+-]\w+)*)
    | (?P<numbered>(?<!\w)[^\W\d]+(?:[.-][^\W\d]+)*[.-](?=\w*\d)\w+(?:[.:+-]\w+)*)  # as in T-1001
    """,
    re.VERBOSE | re.DOTALL,
)
_AGAIN = re.compile(rf"{VARIES}(?:[\s,;:/]*{VARIES})+")


@dataclass(frozen=True)
class Alike:
    """Failures of one kind."""

    fingerprint: str
    error_code: str
    words: str
    """Their message, `VARIES` in place of what differs; without the code where it begins with it."""


OTHER = Alike("other", "", "Other errors")
"""Stands for all that come when a job has groups enough."""
UNKNOWN = Alike("unknown", "", "Errors that cannot be told apart")
PATTERN = rf"[0-9a-f]{{{LENGTH}}}|{OTHER.fingerprint}|{UNKNOWN.fingerprint}"
"""What a fingerprint looks like."""


def of(error_code: str, message: str) -> Alike:
    """The group of a failure. Never raises: recording a failure must never fail."""
    try:
        words = _words(message.removeprefix(f"{error_code}:"))
        told = f"{error_code}\0{words}"
        fingerprint = hashlib.blake2s(told.encode(errors="replace")).hexdigest()[:LENGTH]
        return Alike(fingerprint, error_code, (words or error_code)[:WORDS])
    except BaseException:  # as the docstring promises, whatever a text of an author's does
        return UNKNOWN


def _words(message: str) -> str:
    same = _VARYING.sub(VARIES, " ".join(message[:LOOKED_AT].split()))
    return _AGAIN.sub(VARIES, same)
