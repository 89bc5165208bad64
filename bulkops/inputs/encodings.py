"""Which encoding a binary stream is in, told from its bytes.

A mark at the beginning decides; then the zero bytes of UTF-16; then whether the whole is UTF-8. Text that is UTF-8 but
for a few broken places stays UTF-8, so that its reader names the line: to read it as something else would spoil each
of its other letters without a word. Only what is no UTF-8 at all is guessed, and a guess is told as one.

The guess is made by charset-normalizer where it is sure and, where it is not, Windows-1252. Among the code pages for
Latin letters it is often wrong about names and short texts, so there Windows-1252 is taken whenever it fits about as
well.
"""

from __future__ import annotations

import codecs
import itertools
import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from charset_normalizer import from_bytes
from django.utils.translation import gettext, gettext_noop

from bulkops.exceptions import InputError
from bulkops.inputs.streams import pieces

if TYPE_CHECKING:
    from bulkops.inputs.limits import Limits

NAMES = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16 (big-endian)",
    "utf-32-le": "UTF-32",
    "utf-32-be": "UTF-32 (big-endian)",
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250",
    "cp1251": "Windows-1251",
    "cp1253": "Windows-1253",
    "cp1254": "Windows-1254",
    "cp1255": "Windows-1255",
    "cp1256": "Windows-1256",
    "cp1257": "Windows-1257",
    "koi8_r": "KOI8-R",
    "cp850": "DOS 850",
    "cp866": "DOS 866",
    "mac_roman": "Mac Roman",
    "cp932": "Shift-JIS",
    "euc_jp": "EUC-JP",
    "gb18030": "GB 18030",
    "big5": "Big5",
    "cp949": "Korean (949)",
}
"""What people call them; also the choice that they have."""

_MARKS = (  # the mark of UTF-16 begins that of UTF-32
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_OTHER_FILES = (
    (
        b"PK\x03\x04",
        gettext_noop("The %(what)s is a ZIP file, as .xlsx and .ods are, not text. Save it as CSV in the spreadsheet."),
    ),
    (
        b"\xd0\xcf\x11\xe0",
        gettext_noop("The %(what)s is an old Office file, as .xls is, not text. Save it as CSV in the spreadsheet."),
    ),
    (b"\x1f\x8b", gettext_noop("The %(what)s is compressed with gzip, not text. Unpack it first.")),
    (b"%PDF-", gettext_noop("The %(what)s is a PDF, not text. Give the data that it was made of, as CSV.")),
)
_WESTERN = "cp1252"
_LATIN = {"cp1252", "cp1250", "cp1254", "cp1257", "cp850", "mac_roman"}
_GUESSED = [codec for codec in NAMES if not codec.startswith("utf")]
_SAMPLE_BYTES = 16 * 1024
# Of charset-normalizer's two measures, each from 0 to 1: how odd the text looks, and how much like a language.
_ABOUT_AS_WELL = 0.2
_ODD = 0.15
_LIKE_A_LANGUAGE = 0.2

_BROKEN = re.compile("[\udc80-\udcff]")
# A surrogate or an overlong form: no valid UTF-8, and yet nothing else.
_ALMOST = re.compile("\udced[\udca0-\udcbf][\udc80-\udcbf]|[\udcc0\udcc1][\udc80-\udcbf]")
_LETTERS_BEYOND_ASCII = re.compile(r"[^\W\d_\x00-\x7f]+")


@dataclass(frozen=True)
class Encoding:
    """An encoding, and how it is known."""

    codec: str
    mark: int = 0
    """How many bytes at the beginning only say which encoding it is."""
    assumed: bool = False
    """Whether it is a guess: nothing in the bytes proves it."""

    @property
    def name(self) -> str:
        return NAMES.get(self.codec, self.codec)


def detect(stream: IO[bytes], limits: Limits, *, wanted: str = "", guess: bool = True) -> Encoding:
    """The encoding of what follows in a seekable stream, which is read once and put back where it was.

    `wanted`, one of NAMES, is what a person says it is. Without `guess`, what is no UTF-8 is called UTF-8 all the same,
    for its reader to refuse with the line. Raises InputError for files that hold no text, and InputTooLarge.
    """
    start = stream.tell()
    try:
        return _detected(stream, limits, wanted, guess=guess)
    finally:
        stream.seek(start)


def _detected(stream: IO[bytes], limits: Limits, wanted: str, *, guess: bool) -> Encoding:
    source = pieces(stream, limits)
    head = next(source, b"")
    for signature, words in _OTHER_FILES:
        if head.startswith(signature):
            raise InputError(gettext(words) % {"what": limits.what})
    marked = next((Encoding(codec, len(mark)) for mark, codec in _MARKS if head.startswith(mark)), None)
    if wanted:
        return marked if marked is not None and marked.codec == wanted else Encoding(wanted)
    if marked is not None:
        return marked
    if wide := _utf_16(head):
        return Encoding(wide)
    seen = _Seen()
    for piece in itertools.chain([head], source):
        seen.add(piece)
    seen.add(b"", final=True)
    if not guess or seen.is_utf_8:
        return Encoding("utf-8")
    return Encoding(_guessed(b"\n".join(seen.sample)), assumed=True)


def _utf_16(head: bytes) -> str:
    """The UTF-16 without a mark that these bytes are; empty for other text, even with a zero byte in it."""
    head = head[: len(head) // 2 * 2]
    low, high = head[::2].count(0), head[1::2].count(0)
    if low == high or max(low, high) < 2:
        return ""
    codec = "utf-16-le" if high > low else "utf-16-be"
    text = head.decode(codec, "replace")
    ends = text.count("\r") + text.count("\n")
    bytes_of_ends = head.count(b"\r") + head.count(b"\n")
    if "\x00" in text or bytes_of_ends > 2 * ends:
        return ""  # its line ends are single bytes, so the zeros are strays
    return codec if ends or max(low, high) > len(text) * 0.4 else ""


@dataclass
class _Seen:
    """What was found in a text that may be UTF-8."""

    valid: int = 0
    """Characters of several bytes."""
    broken: int = 0
    """Bytes that belong to none."""
    almost: int = 0
    """Bytes of characters that are spelt as UTF-8 forbids."""
    sample: dict[bytes, None] = field(default_factory=dict)
    """Lines with letters beyond ASCII, each once: a text that repeats itself looks odd to charset-normalizer."""

    def __post_init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._room = _SAMPLE_BYTES

    def add(self, piece: bytes, *, final: bool = False) -> None:
        """Look at the next bytes."""
        if piece.isascii() and not self._decoder.getstate()[0]:
            return
        text = self._decoder.decode(piece, final)
        broken = 0
        try:
            text.encode()
        except UnicodeEncodeError:
            broken = len(_BROKEN.findall(text))
            self.almost += sum(len(found) for found in _ALMOST.findall(text))
        self.broken += broken
        self.valid += len(text) - len(text.encode("ascii", "ignore")) - broken
        if self._room > 0:
            self._take(piece)

    def _take(self, piece: bytes) -> None:
        for line in piece.splitlines():
            if not line.isascii() and line not in self.sample and self._room > 0:
                self.sample[line[:_SAMPLE_BYTES]] = None
                self._room -= len(line)

    @property
    def is_utf_8(self) -> bool:
        return self.valid + self.almost >= self.broken


def _guessed(sample: bytes) -> str:
    matches = [
        match
        for match in from_bytes(sample, cp_isolation=_GUESSED, preemptive_behaviour=False)
        if match.encoding in NAMES and (match.encoding not in _LATIN or _looks_latin(str(match)))
    ]
    if not matches:
        return _WESTERN
    best = matches[0]
    western = next((match for match in matches if _WESTERN in {match.encoding, *match.could_be_from_charset}), None)
    if western is not None and western.chaos <= best.chaos + _ABOUT_AS_WELL:
        return _WESTERN
    if best.encoding in _LATIN:
        sure = best.chaos <= _ODD and best.coherence >= _LIKE_A_LANGUAGE
    else:
        sure = best.chaos <= _ODD or not _looks_latin(sample.decode(_WESTERN, "replace"))
    return best.encoding if sure else _WESTERN


def _looks_latin(text: str) -> bool:
    """Whether its letters beyond ASCII stand among others, as accents do; other alphabets are read as long runs."""
    runs = [len(run) for run in _LETTERS_BEYOND_ASCII.findall(text)]
    return sum(run for run in runs if run > 2) <= sum(runs) / 4
