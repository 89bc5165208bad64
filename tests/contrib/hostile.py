"""Files made to do harm, or to be misunderstood: each with the code of its failure, or none where it is fine."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, NumberObject

from tests.sample import pictures

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Hostile:
    """A file and what is to become of it."""

    name: str
    making: Callable[[], bytes]
    code: str | None
    words: str = ""

    @cache  # noqa: B019 - there are thirty of them, some seconds in the making, and several tests want each
    def make(self) -> bytes:
        return self.making()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, *extra: bytes, data: bytes = b"\x00" * 100) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), *extra, _chunk(b"IDAT", zlib.compress(data)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _text_bomb() -> bytes:
    return _png(1, 1, _chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(100_000_000), 1)), data=b"\x00" * 4)


def _flat_bomb() -> bytes:
    """A picture of one colour: a hundred kilobytes that become 400 MB."""
    packer = zlib.compressobj(1)
    row = bytes(1 + 12_000 * 3)
    data = b"".join(packer.compress(row) for _ in range(12_000)) + packer.flush()
    header = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _wide_jpeg() -> bytes:
    content = bytearray(pictures.jpeg())
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 65_500, 65_500)
    return bytes(content)


def _wide_bmp() -> bytes:
    content = bytearray(pictures.bmp())
    content[18:26] = struct.pack("<ii", 50_000, 50_000)
    return bytes(content)


def _gif(width: int, height: int, frames: int) -> bytes:
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame * frames + b"\x3b"


def _pdf(change: Callable[[PdfWriter], None]) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pictures.pdf())))
    change(writer)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _with_loop(writer: PdfWriter) -> None:
    """The page tree holds itself."""
    root = writer._pages.get_object()
    root[NameObject("/Kids")].append(writer._pages)


def _with_many_pages(writer: PdfWriter) -> None:
    """One page, named a hundred thousand times."""
    root = writer._pages.get_object()
    root[NameObject("/Kids")] = ArrayObject([root["/Kids"][0]] * 100_000)
    root[NameObject("/Count")] = NumberObject(100_000)


def _with_stream_bomb(writer: PdfWriter) -> None:
    """A page of some kilobytes that unpack to 120 MB of drawing."""
    stream = DecodedStreamObject()
    stream.set_data(b" " * 120_000_000)
    page = writer.pages[0]
    page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())


def _with_deep_tree(writer: PdfWriter) -> None:
    """Each node of the page tree holds the next one, ten thousand deep."""
    inner = writer._pages.get_object()["/Kids"][0]
    for _ in range(10_000):
        node = DictionaryObject({NameObject("/Type"): NameObject("/Pages"), NameObject("/Count"): NumberObject(1)})
        node[NameObject("/Kids")] = ArrayObject([inner])
        inner = writer._add_object(node)
    writer._pages.get_object()[NameObject("/Kids")] = ArrayObject([inner])


def _polyglot() -> bytes:
    """A JPEG that is also a zip and holds a page with a script."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("index.html", "<script>alert('polyglot')</script>")
    return pictures.jpeg() + b"<html><script>alert('polyglot')</script></html>" + out.getvalue()


def _cut(content: bytes, share: float = 0.5) -> bytes:
    return content[: int(len(content) * share)]


LAUGHS = b"""<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "haha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c SYSTEM
"file:///etc/passwd">]><svg xmlns="http://www.w3.org/2000/svg"><text>&b;&c;</text></svg>"""
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(/etc/passwd) (r) file\nshowpage\n"
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"

HOSTILE = (
    Hostile("pixels.png", lambda: _png(60_000, 60_000), "too-large"),
    Hostile("flat.png", _flat_bomb, "too-large", "pixels"),
    Hostile("text-inside.png", _text_bomb, "too-large", "text"),
    Hostile("wide.jpg", _wide_jpeg, "too-large"),
    Hostile("wide.bmp", _wide_bmp, "too-large"),
    Hostile("absurd.gif", lambda: _gif(65_535, 65_535, 1), "too-large"),
    Hostile("million-frames.gif", lambda: _gif(1, 1, 1_000_000), None),
    Hostile("cut.jpg", lambda: _cut(pictures.jpeg()), "corrupt", "truncated"),
    Hostile("cut.png", lambda: _cut(pictures.png()), "corrupt"),
    Hostile("cut.webp", lambda: _cut(pictures.webp()), "corrupt"),
    Hostile("header-only.jpg", lambda: b"\xff\xd8\xff\xe0", "corrupt"),
    Hostile("header-only.mp4", lambda: b"\x00\x00\x00\x18ftypmp42" + bytes(12), "corrupt"),
    Hostile("empty.jpg", lambda: b"", "corrupt", "empty"),
    Hostile("really-a-pdf.jpg", lambda: pictures.pdf(), None),
    Hostile("really-text.png", lambda: b"I am no picture.", "wrong-type", "text, not an image, a PDF or a video"),
    Hostile("bytes.png", lambda: bytes(range(256)) * 10, "wrong-type"),
    Hostile("laughs.svg", lambda: LAUGHS, "wrong-type", "SVG"),
    Hostile("laughs.png", lambda: LAUGHS, "wrong-type", "SVG"),
    Hostile("drawing.eps", lambda: EPS, "wrong-type", "PostScript"),
    Hostile("drawing.jpg", lambda: EPS, "wrong-type", "PostScript"),
    Hostile("scan.tiff", lambda: pictures.encoded(pictures.picture(40, 40), "TIFF"), "wrong-type", "TIFF"),
    Hostile("playlist.mp4", lambda: PLAYLIST, "wrong-type", "text"),
    Hostile("archive.zip", lambda: b"PK\x03\x04" + bytes(100), "wrong-type", "zip"),
    Hostile("secret.pdf", lambda: _pdf(lambda writer: writer.encrypt("word", algorithm="RC4-128")), "encrypted"),
    Hostile("loop.pdf", lambda: _pdf(_with_loop), "corrupt"),
    Hostile("many-pages.pdf", lambda: _pdf(_with_many_pages), "too-large", "pages"),
    Hostile("deep.pdf", lambda: _pdf(_with_deep_tree), "too-large"),
    Hostile("stream.pdf", lambda: _pdf(_with_stream_bomb), "too-large"),
    Hostile("broken.pdf", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 20, "corrupt"),
    Hostile("cut.pdf", lambda: _cut(pictures.pdf(), 0.2), "corrupt"),
    Hostile("cut.mp4", lambda: _cut(pictures.video(240)), "corrupt"),
    Hostile("cut-streamed.mp4", lambda: _cut(pictures.video(240, movflags="faststart")), "corrupt", "ends after"),
    Hostile("cut.mkv", lambda: _cut(pictures.video(240, "matroska")), "corrupt", "ends after"),
    Hostile("polyglot.jpg", _polyglot, None),
)
BY_NAME = {one.name: one for one in HOSTILE}
