"""Draws a ticket: its code as a QR code for the door, its event and seat as words for people."""

import io
from functools import lru_cache

import segno
from PIL import Image, ImageDraw, ImageFont

from ticketing.models import Ticket

SIZE = (840, 320)
"""Pixels, wide and high."""
QR_AT = (24, 24)
"""Where the QR code's upper left corner is, its quiet zone included."""
QR_SIDE = 272
"""Pixels; a module of the code takes as many whole pixels as fit."""
QUIET_ZONE = 4
"""Modules; what the standard asks for."""

_TEXT_LEFT = QR_AT[0] + QR_SIDE + 24
_TEXT_WIDTH = SIZE[0] - _TEXT_LEFT - 24


def qr_code(text: str) -> Image.Image:
    """The QR code of a text, black on white, at most `QR_SIDE` pixels a side."""
    modules = segno.make(text, error="m", micro=False).matrix_iter(border=QUIET_ZONE)
    rows = [bytes(0 if dark else 255 for dark in row) for row in modules]
    image = Image.frombytes("L", (len(rows), len(rows)), b"".join(rows))
    scale = max(1, QR_SIDE // len(rows))
    return image.resize((len(rows) * scale, len(rows) * scale), Image.Resampling.NEAREST)


def png(ticket: Ticket) -> bytes:
    """The ticket as a PNG file; the same ticket gives the same bytes. Reads the ticket's event."""
    image = Image.new("L", SIZE, 255)
    image.paste(qr_code(ticket.code), QR_AT)
    draw = ImageDraw.Draw(image)
    lines = (
        (ticket.event.name, 40, 36),
        (ticket.event.venue, 24, 96),
        (f"{ticket.event.starts_at:%A, %d %B %Y, %H:%M %Z}", 24, 132),
        (f"Seat {ticket.seat}", 36, 188),
        (ticket.code, 24, 252),
    )
    for text, size, top in lines:
        font = _font(size)
        draw.text((_TEXT_LEFT, top), _fitted(text, font), fill=0, font=font)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The text, or as much of it as there is room for."""
    # Line ends would begin a second line, over the one that is drawn there.
    text = " ".join(text.split())
    if font.getlength(text) <= _TEXT_WIDTH:
        return text
    while text and font.getlength(f"{text}…") > _TEXT_WIDTH:
        text = text[:-1]
    return f"{text}…"
