"""One file: told by its content, handed to what reads its kind, and what came of it as figures and new files."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any

from bulkops.contrib.files import documents, images, videos
from bulkops.contrib.files.problems import Corrupt, TooLarge, WrongType
from bulkops.file_types import HEAD_BYTES, PDF, WORDS, sniff

if TYPE_CHECKING:
    from PIL import Image

MAX_BYTES = 200 * 1024 * 1024
"""Of one file; uploads are smaller, but a file of an open folder may be of any size."""
THUMBNAIL_QUALITY = 80

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "image/bmp"})
_NOT_TAKEN = frozenset({"image/tiff", "image/svg+xml", "application/postscript"})
_TAKEN = "JPEG, PNG, GIF, WebP and BMP images, PDFs, and MP4, Matroska, WebM and AVI videos"


@dataclass(frozen=True)
class Wish:
    """What is to be made of images."""

    anew: bool = False
    """Whether a picture is written in the size and format below, besides its thumbnail."""
    max_width: int | None = None
    max_height: int | None = None
    format: str = ""
    """“JPEG”, “PNG” or “WEBP”; empty: as it is."""
    quality: int = 85
    thumbnail_size: int = 256
    """Pixels of its longer side."""


@dataclass(frozen=True)
class NewFile:
    """A file that was made, not yet stored."""

    name: str
    content: bytes
    type: str
    thumbnail: bool = False


@dataclass(frozen=True)
class Processed:
    """What came of a file."""

    figures: dict[str, Any]
    files: list[NewFile] = field(default_factory=list)


def process(file: IO[bytes], name: str, size: int, wish: Wish) -> Processed:
    """Process one file. Raises WrongType, Corrupt, TooLarge or Encrypted."""
    if not size:
        raise Corrupt("The file is empty.")
    if size > MAX_BYTES:
        raise TooLarge(f"The file is larger than {MAX_BYTES // (1024 * 1024)} MB.")
    kind = sniff(file.read(HEAD_BYTES))
    file.seek(0)
    if kind in IMAGES:
        done = _image(file, name, size, wish)
    elif kind == PDF:
        done = _document(file, name)
    elif kind in videos.DEMUXERS:
        done = _video(file, name, kind, wish)
    elif kind in _NOT_TAKEN:
        raise WrongType(f"The file is {WORDS[kind]}; taken are {_TAKEN}.")
    else:
        raise WrongType(f"The file is {WORDS[kind]}, not an image, a PDF or a video.")
    claimed = _claimed(name)
    if claimed is not None and claimed != kind:
        done.figures["note"] = f"it is {WORDS[kind]}, though its name says {WORDS[claimed]}"
    return done


def _claimed(name: str) -> str | None:
    """The type that a name's ending says, where that is one we know."""
    guessed = mimetypes.guess_type(name)[0]
    guessed = {"video/webm": "video/x-matroska", "video/quicktime": "video/mp4"}.get(guessed or "", guessed)
    return guessed if guessed in WORDS else None


def _image(file: IO[bytes], name: str, size: int, wish: Wish) -> Processed:
    picture = images.read(file)
    image = picture.image
    figures: dict[str, Any] = {"kind": "image", "format": picture.format, "width": image.width, "height": image.height}
    figures["bytes_before"] = size
    files = []
    if wish.anew:
        form = wish.format or picture.kept_as
        image = images.fitted(image, wish.max_width or image.width, wish.max_height or image.height)
        content = images.encode(image, form, wish.quality)
        figures |= {"format": form, "width": image.width, "height": image.height, "bytes_after": len(content)}
        files.append(NewFile(f"{_stem(name)}{images.EXTENSIONS[form]}", content, f"image/{form.lower()}"))
    files.append(_thumbnail(image, name, wish))
    if picture.animated:
        figures["note"] = "animated; the first frame was taken"
    return Processed(figures, files)


def _document(file: IO[bytes], name: str) -> Processed:
    document = documents.read(file)
    figures = {"kind": "PDF", "pages": document.pages, "title": document.title, "author": document.author}
    text = NewFile(f"{_stem(name)}.txt", document.text.encode("utf-8", "replace"), "text/plain")
    return Processed({key: value for key, value in figures.items() if value}, [text])


def _video(file: IO[bytes], name: str, kind: str, wish: Wish) -> Processed:
    film = videos.read(file, kind)
    figures = {
        "kind": "video",
        "seconds": film.seconds,
        "width": film.width,
        "height": film.height,
        "codec": film.codec,
        "frames_per_second": film.frames_per_second,
    }
    return Processed(figures, [_thumbnail(film.picture, name, wish)])


def _thumbnail(image: Image.Image, name: str, wish: Wish) -> NewFile:
    form = "PNG" if image.mode == "RGBA" else "JPEG"
    small = images.fitted(image, wish.thumbnail_size, wish.thumbnail_size)
    content = images.encode(small, form, THUMBNAIL_QUALITY)
    return NewFile(f"{_stem(name)}.thumb{images.EXTENSIONS[form]}", content, f"image/{form.lower()}", thumbnail=True)


def _stem(name: str) -> str:
    return PurePath(name).stem or "file"
