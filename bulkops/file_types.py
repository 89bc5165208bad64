"""What a file is, told by its first bytes and never by its name."""

from __future__ import annotations

HEAD_BYTES = 4096
"""Enough of a file's beginning to tell."""

PDF = "application/pdf"
UNKNOWN = "application/octet-stream"

_BEGINNINGS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\x1a\x45\xdf\xa3", "video/x-matroska"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%!PS", "application/postscript"),
    (b"\xc5\xd0\xd3\xc6", "application/postscript"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x7fELF", "application/x-executable"),
    (b"MZ", "application/x-executable"),
)
_BITMAP_HEADERS = {12, 40, 52, 56, 64, 108, 124}
_MARKUP = ((b"<svg", "image/svg+xml"), (b"<!doctype svg", "image/svg+xml"), (b"<html", "text/html"))

WORDS = {
    "image/jpeg": "a JPEG image",
    "image/png": "a PNG image",
    "image/gif": "a GIF image",
    "image/webp": "a WebP image",
    "image/bmp": "a BMP image",
    "image/tiff": "a TIFF image",
    "image/svg+xml": "an SVG drawing",
    PDF: "a PDF",
    "application/postscript": "PostScript",
    "application/zip": "a zip archive",
    "application/gzip": "a gzip archive",
    "application/x-executable": "a program",
    "video/mp4": "an MP4 video",
    "video/x-matroska": "a Matroska or WebM video",
    "video/x-msvideo": "an AVI video",
    "text/html": "an HTML page",
    "text/xml": "XML",
    "text/plain": "text",
    UNKNOWN: "of an unknown type",
}
"""Each type that `sniff` tells, to follow “is”."""


def sniff(head: bytes) -> str:
    """The media type of a file that begins so; one of `WORDS`."""
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head[:4] == b"RIFF" and head[8:12] in {b"WEBP", b"AVI "}:
        return "image/webp" if head[8:12] == b"WEBP" else "video/x-msvideo"
    if head[4:8] == b"ftyp":
        return "video/mp4"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BITMAP_HEADERS:
        return "image/bmp"
    return _sniff_text(head)


def _sniff_text(head: bytes) -> str:
    begins = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if begins.startswith(b"%pdf-"):
        return PDF
    if begins.startswith((b"<?xml", b"<!doctype", b"<svg", b"<html")):
        return next((kind for tag, kind in _MARKUP if tag in begins), "text/xml")
    if not head or b"\x00" in head:
        return UNKNOWN
    try:
        # The last character may be cut in two.
        head[: max(1, len(head) - 3)].decode()
    except UnicodeDecodeError:
        return UNKNOWN
    return "text/plain"
