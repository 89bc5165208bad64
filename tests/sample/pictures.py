"""Real files for tests: pictures made of matplotlib's samples, PDFs that matplotlib writes, videos of pictures."""

from __future__ import annotations

import io
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("agg")

SAMPLES = Path(mpl.get_data_path()) / "sample_data"
HOPPER, MINDUKA, LOGO = (SAMPLES / name for name in ("grace_hopper.jpg", "Minduka_Present_Blue_Pack.png", "logo2.png"))


def picture(width: int = 512, height: int = 600, mode: str = "RGB") -> Any:
    """Grace Hopper, at that size."""
    from PIL import Image

    with Image.open(HOPPER) as opened:
        return opened.convert(mode).resize((width, height))


def encoded(image: Any, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


@cache
def jpeg(width: int = 320, height: int = 200, **options: Any) -> bytes:
    return encoded(picture(width, height), "JPEG", **options)


@cache
def png(width: int = 320, height: int = 200, mode: str = "RGB") -> bytes:
    return encoded(picture(width, height, mode), "PNG")


@cache
def gif(frames: int = 1) -> bytes:
    images = [picture(64 + frame, 64 + frame).resize((64, 64)).rotate(frame * 10) for frame in range(frames)]
    return encoded(images[0], "GIF", save_all=True, append_images=images[1:])


@cache
def webp() -> bytes:
    return encoded(picture(200, 100), "WEBP")


@cache
def bmp() -> bytes:
    return encoded(picture(80, 60), "BMP")


@cache
def pdf(pages: int = 2, title: str = "A plot", author: str = "Ada") -> bytes:
    """A PDF with that many plots."""
    from matplotlib.backends.backend_pdf import PdfPages
    from matplotlib.figure import Figure

    out = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42}), PdfPages(out, metadata={"Title": title, "Author": author}) as file:
        for number in range(pages):
            figure = Figure(figsize=(3, 2))
            figure.subplots().set_title(f"Curve {number + 1}")
            file.savefig(figure)
    return out.getvalue()


@cache
def video(frames: int = 24, form: str = "mp4", codec: str = "mpeg4", **options: str) -> bytes:
    """The picture, turning, at 12 frames a second."""
    import av

    # By its name, as some options have the file read again.
    with (
        tempfile.NamedTemporaryFile() as out,
        av.open(out.name, "w", format=form, options=options) as container,
    ):
        stream = container.add_stream(codec, rate=12)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        image = picture(160, 120)
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_image(image.rotate(number))))
        container.mux(stream.encode())
        container.close()
        return Path(out.name).read_bytes()
