"""Images: opened only in the formats listed, measured before they are decoded, written anew without their metadata."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from bulkops.contrib.files.problems import Corrupt, TooLarge

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
"""What Pillow may try; never those that run an interpreter (EPS) or unpack what it cannot bound."""
MAX_PIXELS = 64_000_000
"""Of one image; decoded, each takes up to 4 bytes, twice while it is turned or resized."""
MAX_PROFILE_BYTES = 1_000_000
"""A larger colour profile is dropped, and the colours with it stay as they are."""

MOST_ON_A_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
"""Pixels; what can be read can be longer."""
EXTENSIONS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp"}
_KEPT_AS = {"JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "WEBP": "WEBP"}
"""In which format an image stays that is not to be converted; any other becomes PNG."""
_ANIMATED = {"GIF", "PNG", "WEBP"}
"""A JPEG of several pictures is a photo with its preview."""
_BLACK_AND_WHITE = {"1", "L", "I", "F", "I;16", "I;16B", "I;16L"}


@dataclass(frozen=True)
class Picture:
    """A decoded image, upright, as RGB or RGBA or L, in the colours of screens, and nothing else of the file."""

    image: Image.Image
    format: str
    """What the file was."""
    animated: bool

    @property
    def kept_as(self) -> str:
        return _KEPT_AS.get(self.format, "PNG")


def read(file: IO[bytes], max_pixels: int = MAX_PIXELS) -> Picture:
    """Decode the file's first frame. Raises TooLarge before it is decoded, or Corrupt."""
    with _faults(max_pixels), Image.open(file, formats=FORMATS) as opened:
        width, height = opened.size
        if width * height > max_pixels:
            raise TooLarge(f"The image has {width:,} by {height:,} pixels; at most {max_pixels:,} are taken.")
        if not width or not height:
            raise Corrupt("The image has no pixels.")
        # Looks one frame ahead, and back: counting them would decode each of a million.
        animated = opened.format in _ANIMATED and bool(getattr(opened, "is_animated", False))
        opened.seek(0)
        profile, mode = opened.info.get("icc_profile"), opened.mode
        # No copy is made that is not needed: each takes as much memory as the picture.
        ImageOps.exif_transpose(opened, in_place=True)
        plain = _plain(opened)
        if profile and plain.mode in {"RGB", "RGBA"} and mode not in {"CMYK", "L", "LA", "1"}:
            plain = _in_screen_colours(plain, profile)
        if plain is opened:
            plain = plain.copy()
        plain.info.clear()
        return Picture(plain, opened.format or "", animated)


def fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """The image within that size, in its own proportions; never enlarged."""
    share = min(width / image.width, height / image.height, 1.0)
    if share == 1.0:
        return image
    size = max(1, round(image.width * share)), max(1, round(image.height * share))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def encode(image: Image.Image, form: str, quality: int) -> bytes:
    """The image as a file of that format, without any metadata; JPEG, which knows no transparency, on white.

    Raises TooLarge.
    """
    most = MOST_ON_A_SIDE.get(form)
    if most is not None and max(image.size) > most:
        raise TooLarge(f"The image has {max(image.size):,} pixels on a side; {form} takes at most {most:,}.")
    if form == "JPEG" and image.mode == "RGBA":
        on_white = Image.new("RGB", image.size, "white")
        on_white.paste(image, mask=image.getchannel("A"))
        image = on_white
    options = {"quality": quality} if form in {"JPEG", "WEBP"} else {}
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in {"I;16", "I;16B", "I;16L"}:
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in _BLACK_AND_WHITE and "transparency" not in image.info:
        return image if image.mode == "L" else image.convert("L")
    if image.mode in {"RGB", "RGBA"} and "transparency" not in image.info:
        return image
    has_alpha = image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB")


def _in_screen_colours(image: Image.Image, profile: bytes) -> Image.Image:
    """In sRGB, as nothing will say any more that the colours meant something else."""
    if len(profile) > MAX_PROFILE_BYTES:
        return image
    try:
        meant = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        turned = ImageCms.profileToProfile(image, meant, ImageCms.createProfile("sRGB"))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image  # a broken profile spoils no picture
    return turned or image


@contextmanager
def _faults(max_pixels: int) -> Iterator[None]:
    """Whatever a decoder raises, in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (TooLarge, Corrupt):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
        raise TooLarge(f"The image has more pixels than are taken: at most {max_pixels:,} are.") from None
    except UnidentifiedImageError:
        raise Corrupt("The image is broken: its beginning makes no sense.") from None
    except Exception as error:  # Pillow's decoders raise SyntaxError, struct.error, KeyError and more for broken files
        text = str(error)
        if "too large" in text.lower() or "MAX_TEXT_" in text:
            raise TooLarge("The image holds more text than is taken.") from None
        raise Corrupt(f"The image is broken: {text[:200] or type(error).__name__}") from None
