"""Videos: how long, how large, in which codec, and a picture out of them. All of it is read once, to see its end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from bulkops import packages
from bulkops.contrib.files.problems import Corrupt, FileProblem, TooLarge

if TYPE_CHECKING:
    from PIL import Image

packages.need("av")

DEMUXERS = {"video/mp4": "mov", "video/x-matroska": "matroska", "video/x-msvideo": "avi"}
"""FFmpeg is told the format: left to guess, it would take a text for a playlist and open what that names."""
OPTIONS = {"protocol_whitelist": "none", "probesize": str(8 * 1024 * 1024), "analyzeduration": "5000000"}
MAX_PIXELS = 64_000_000
MAX_SECONDS = 12 * 3600
MAX_PACKETS = 5_000_000
MAX_PACKETS_TO_A_PICTURE = 2_000
"""Decoded until the first picture comes; each is decoded in one thread, which bounds the memory."""
SHARE_THAT_IS_THERE = 0.9
"""Of the stated length; a file that was cut ends before it."""


@dataclass(frozen=True)
class Film:
    """What is known of a video."""

    seconds: float
    width: int
    height: int
    codec: str
    frames_per_second: float | None
    picture: Image.Image


def read(file: IO[bytes], kind: str) -> Film:
    """Read a video of that media type. Raises Corrupt or TooLarge."""
    import av

    try:
        form = DEMUXERS[kind]
        with av.open(file, "r", format=form, container_options=OPTIONS, metadata_errors="replace") as container:
            return _read(container)
    except FileProblem:
        raise
    except MemoryError:
        raise TooLarge("The video unpacks to more than is taken.") from None
    except Exception as error:  # a broken file raises FFmpeg's errors, and of Python's whatever its values break
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Corrupt(f"The video is broken: {text[:200]}") from None


def _read(container: Any) -> Film:
    import av

    if not container.streams.video:
        raise Corrupt("The video has no pictures in it.")
    stream = container.streams.video[0]
    width, height = stream.width, stream.height
    if width * height > MAX_PIXELS:
        raise TooLarge(f"The video has {width:,} by {height:,} pixels; at most {MAX_PIXELS:,} are taken.")
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    stated = float(container.duration / av.time_base) if container.duration else 0.0
    if stated > MAX_SECONDS:
        raise TooLarge(f"The video is {stated / 3600:,.1f} hours long; at most {MAX_SECONDS // 3600} are taken.")
    picture, seen = _through(container, stream)
    if stated > 1 and seen < stated * SHARE_THAT_IS_THERE:
        raise Corrupt(f"The video is broken: it ends after {seen:.1f} of {stated:.1f} seconds.")
    rate = stream.average_rate
    return Film(
        seconds=round(stated or seen, 2),
        width=width,
        height=height,
        codec=str(stream.codec_context.name),
        frames_per_second=round(float(rate), 3) if rate else None,
        picture=picture,
    )


def _through(container: Any, stream: Any) -> tuple[Image.Image, float]:
    """The first picture, and how far the packets of all streams go in seconds; none is decoded after the picture."""
    from av.error import InvalidDataError

    picture: Image.Image | None = None
    ends = 0.0
    for number, packet in enumerate(container.demux()):
        if number > MAX_PACKETS:
            raise TooLarge(f"The video has more than {MAX_PACKETS:,} packets.")
        at = packet.pts if packet.pts is not None else packet.dts
        if at is not None and packet.time_base is not None:
            ends = max(ends, float((at + (packet.duration or 0)) * packet.time_base))
        if picture is None and packet.stream is stream and number < MAX_PACKETS_TO_A_PICTURE:
            with suppress(InvalidDataError):
                picture = next((_image(frame) for frame in packet.decode()), None)
    if picture is None:
        raise Corrupt("The video is broken: no picture in it can be read.")
    return picture, ends


def _image(frame: Any) -> Image.Image:
    if frame.width * frame.height > MAX_PIXELS:
        raise TooLarge("The video has larger pictures than it says.")
    return frame.to_image()
