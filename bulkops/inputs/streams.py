"""Binary streams as lines of text: bounded, a piece at a time, told apart into lines whose numbers errors name."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import tempfile
from typing import IO, TYPE_CHECKING

from django.utils.translation import gettext

from bulkops.conf import conf
from bulkops.exceptions import InputError, InputTooLarge
from bulkops.inputs.limits import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bulkops.inputs.encodings import Encoding
    from bulkops.inputs.limits import Limits

BYTE_ORDER_MARK = "\ufeff"
"""Stands before a line in the middle where files were put together; it is no part of what the line says."""
_READ_BYTES = 32 * 1024
_SPOOLED_IN_MEMORY_BYTES = 1024 * 1024
# JSON may spell a two-byte character with six bytes, and CSV doubles its quotes.
_LINE_BYTES_PER_ITEM_BYTE = 6


@contextlib.contextmanager
def seekable(stream: IO[bytes], limits: Limits) -> Iterator[IO[bytes]]:
    """The stream, or for one that can be read only once, such as a pipe, a temporary file of the same content.

    Raises InputTooLarge before more than the limit was copied.
    """
    if getattr(stream, "seekable", bool)():
        yield stream
        return
    with tempfile.SpooledTemporaryFile(_SPOOLED_IN_MEMORY_BYTES) as spooled:
        for piece in pieces(stream, limits):
            spooled.write(piece)
        spooled.seek(0)
        yield spooled


def pieces(stream: IO[bytes], limits: Limits) -> Iterator[bytes]:
    """What follows in the stream, some KB at a time. Raises InputTooLarge."""
    taken = 0
    while piece := stream.read(_READ_BYTES):
        taken += len(piece)
        if taken > limits.size_bytes:
            raise InputTooLarge(
                gettext("The %(what)s is larger than %(size)s.")
                % {"what": limits.what, "size": size(limits.size_bytes)}
            )
        yield piece


def whole(stream: IO[bytes], limits: Limits, encoding: Encoding) -> str:
    """All of it as text. Raises InputError and InputTooLarge."""
    raw = b"".join(_as_utf_8(stream, limits, encoding))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise _not_utf_8(limits, raw.count(b"\n", 0, error.start) + 1) from None


def lines(stream: IO[bytes], limits: Limits, encoding: Encoding) -> Iterator[str]:
    """Physical lines with their ends; the number of each is its place in this iterator, from 1.

    Raises InputError and InputTooLarge, also for a line that no item could fill.
    """
    # Bounds what a file without any line end can make us hold.
    longest = conf().item_bytes * _LINE_BYTES_PER_ITEM_BYTE
    for number, raw in enumerate(_raw_lines(_as_utf_8(stream, limits, encoding), longest), 1):
        if len(raw) > longest:
            raise InputTooLarge(
                gettext("Line %(number)s is larger than an item may be (%(size)s).")
                % {"number": number, "size": size(conf().item_bytes)}
            )
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            raise _not_utf_8(limits, number) from None
        if "\x00" in line:
            raise InputError(gettext("the line holds a NUL character, as UTF-16 and spreadsheet files do."), number)
        yield line


def _raw_lines(source: Iterable[bytes], longest: int) -> Iterator[bytes]:
    """Lines ended by LF, CR LF or CR, as `bytes.splitlines` has them; one longer than `longest` comes in pieces."""
    rest = b""
    for piece in source:
        *found, rest = (rest + piece).splitlines(keepends=True)
        # A line that ends in CR waits: its LF may come with the next piece.
        if rest.endswith(b"\n") or len(rest) > longest:
            found.append(rest)
            rest = b""
        yield from found
    yield from rest.splitlines(keepends=True)


def _as_utf_8(stream: IO[bytes], limits: Limits, encoding: Encoding) -> Iterator[bytes]:
    """The bytes, without the mark, in the one encoding in which lines can be told apart byte by byte."""
    stream.seek(encoding.mark, 1)
    if encoding.codec == "utf-8":
        yield from pieces(stream, limits)
        return
    decoder = codecs.getincrementaldecoder(encoding.codec)()
    line = 1
    for piece in itertools.chain(pieces(stream, limits), [b""]):
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            line += _ends(error.object[: error.start].decode(encoding.codec, "ignore"))
            if encoding.assumed:
                words = gettext(
                    "this is not %(name)s text, which was assumed. Save the %(what)s as UTF-8 (in Excel: “CSV UTF-8”)."
                )
            else:
                words = gettext("this is not %(name)s text. Save the %(what)s as UTF-8 (in Excel: “CSV UTF-8”).")
            raise InputError(
                words % {"name": encoding.name, "what": limits.what},
                line,
            ) from None
        line += _ends(text)
        if text:
            yield text.encode()


def _ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _not_utf_8(limits: Limits, line: int) -> InputError:
    return InputError(
        gettext("this is not UTF-8 text. Save the %(what)s as UTF-8 (in Excel: “CSV UTF-8”).") % {"what": limits.what},
        line,
    )
