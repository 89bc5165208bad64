"""Images, PDFs and videos, real ones: what is made of them, and what is told of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from bulkops.contrib.files import images, processing
from bulkops.contrib.files.problems import TooLarge
from bulkops.contrib.files.processing import Processed, Wish, process
from tests.sample import pictures

ANEW = Wish(anew=True, max_width=100, max_height=100)


def run(content: bytes, name: str = "file", wish: Wish = ANEW) -> Processed:
    return process(io.BytesIO(content), name, len(content), wish)


def opened(made: processing.NewFile) -> Image.Image:
    image = Image.open(io.BytesIO(made.content))
    image.load()
    return image


# -- images


@pytest.mark.parametrize(
    ("make", "form"),
    [
        (pictures.jpeg, "JPEG"),
        (pictures.png, "PNG"),
        (pictures.webp, "WEBP"),
        (pictures.bmp, "PNG"),
        (pictures.gif, "PNG"),
    ],
)
def test_an_image_is_made_to_fit_and_gets_a_thumbnail(make, form):
    done = run(make(), "photo.img")
    image, thumbnail = done.files
    assert opened(image).format == form
    assert max(opened(image).size) <= 100
    assert max(opened(thumbnail).size) <= 256
    assert thumbnail.thumbnail
    assert done.figures["format"] == form
    assert (done.figures["width"], done.figures["height"]) == opened(image).size
    assert done.figures["bytes_before"] == len(make())
    assert done.figures["bytes_after"] == len(image.content)


def test_thumbnails_only_leave_the_image_alone():
    done = run(pictures.HOPPER.read_bytes(), "grace_hopper.jpg", Wish(thumbnail_size=64))
    assert [made.name for made in done.files] == ["grace_hopper.thumb.jpg"]
    assert max(opened(done.files[0]).size) == 64
    assert (done.figures["width"], done.figures["height"]) == (512, 600)


def test_nothing_is_enlarged_and_proportions_stay():
    done = run(pictures.jpeg(80, 40), wish=Wish(anew=True, max_width=1_000, max_height=20))
    assert opened(done.files[0]).size == (40, 20)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
def test_every_mode_is_converted_to_every_format(mode, form):
    image = pictures.picture(60, 40)
    if mode == "I;16":
        values = np.asarray(image.convert("L"), dtype=np.uint16) * 256
        content = pictures.encoded(Image.fromarray(values), "PNG")
    else:
        content = pictures.encoded(image.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    (made, _) = run(content, wish=Wish(anew=True, format=form)).files
    grey, before = (np.asarray(one.convert("RGB").convert("L"), dtype=float) for one in (opened(made), image))
    assert opened(made).format == form
    assert abs(grey.mean() - before.mean()) < 12, "it looks as before"


@pytest.mark.parametrize("sample", [pictures.MINDUKA, pictures.LOGO])
def test_transparent_parts_become_white_in_jpeg_and_stay_in_png(sample):
    with Image.open(sample) as image:
        clear = np.asarray(image.convert("RGBA"))[..., 3] == 0
    png, jpeg = (run(sample.read_bytes(), wish=Wish(anew=True, format=form)).files[0] for form in ("PNG", "JPEG"))
    assert ((np.asarray(opened(png).convert("RGBA"))[..., 3] == 0) == clear).all()
    if clear.any():
        assert np.asarray(opened(jpeg))[clear].mean() > 250


def test_the_orientation_that_a_camera_notes_is_applied_and_all_it_notes_is_dropped():
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Secret Camera"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 30.0)  # where it was taken
    content = pictures.jpeg(60, 40, exif=exif.tobytes(), comment=b"secret comment")
    assert b"Secret Camera" in content
    for form in ("JPEG", "PNG", "WEBP"):
        for made in run(content, wish=Wish(anew=True, format=form)).files:
            image = opened(made)
            assert image.size == (40, 60)
            assert not image.getexif()
            assert b"ecret" not in made.content


def test_colours_of_another_profile_are_turned_into_those_of_screens():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (made, _) = run(pictures.jpeg(60, 40, icc_profile=profile), wish=Wish(anew=True)).files
    assert "icc_profile" not in opened(made).info
    broken = pictures.jpeg(60, 40, icc_profile=b"no profile")
    assert run(broken).figures["kind"] == "image"


def test_of_an_animated_gif_the_first_frame_is_taken_and_that_is_said():
    done = run(pictures.gif(frames=5))
    assert "first frame" in done.figures["note"]
    assert not getattr(opened(done.files[0]), "is_animated", False)
    assert "note" not in run(pictures.gif()).figures


def test_quality_makes_a_smaller_file():
    low, high = (run(pictures.jpeg(), wish=Wish(anew=True, quality=q)).figures["bytes_after"] for q in (20, 90))
    assert low < high / 2


# -- PDFs and videos


def test_a_pdf_tells_its_pages_title_and_author_and_gives_its_text():
    done = run(pictures.pdf(pages=3), "plot.pdf")
    assert done.figures == {"kind": "PDF", "pages": 3, "title": "A plot", "author": "Ada"}
    (text,) = done.files
    assert (text.name, text.type) == ("plot.txt", "text/plain")
    assert [f"Curve {number}" in page for number, page in enumerate(text.content.decode().split("\f"), 1)] == [True] * 3


@pytest.mark.parametrize(
    ("form", "codec"), [("mp4", "mpeg4"), ("matroska", "mpeg4"), ("avi", "mpeg4"), ("mov", "mpeg4")]
)
def test_a_video_tells_its_length_size_codec_and_rate_and_gives_a_picture(form, codec):
    done = run(pictures.video(frames=24, form=form, codec=codec), "turning.mov")
    assert done.figures["seconds"] == pytest.approx(2.0, abs=0.2)
    assert (done.figures["width"], done.figures["height"]) == (160, 120)
    assert (done.figures["codec"], done.figures["frames_per_second"]) == (codec, 12.0)
    (thumbnail,) = done.files
    assert opened(thumbnail).size == (160, 120)
    grey = np.asarray(opened(thumbnail).convert("L"), dtype=float)
    expected = np.asarray(pictures.picture(160, 120).convert("L"), dtype=float)
    assert np.abs(grey - expected).mean() < 20, "it is the picture that was filmed"


# -- types


def test_a_file_is_what_it_holds_and_a_name_that_says_otherwise_is_told():
    done = run(pictures.pdf(), "photo.jpg")
    assert done.figures["kind"] == "PDF"
    assert done.figures["note"] == "it is a PDF, though its name says a JPEG image"
    assert "note" not in run(pictures.jpeg(), "photo.jpg").figures
    assert "note" not in run(pictures.video(form="matroska"), "film.webm").figures


@pytest.mark.parametrize(("form", "most"), [("WEBP", "16,383"), ("JPEG", "65,500")])
def test_an_image_too_long_for_its_new_format_is_told_so(form, most):
    long = io.BytesIO()
    Image.new("1", (66_000, 1)).save(long, "PNG")
    long.seek(0)
    with pytest.raises(TooLarge, match=f"66,000 pixels on a side; {form} takes at most {most}"):
        images.encode(images.read(long).image, form, 85)
