"""Letters of Pillow's built-in font, which draws the same on every machine, and accents over them.

The font holds ASCII and a few signs only.  Accented Latin letters are composed as Unicode does it:
the bare letter, with a sign of the same font scaled to be its mark.
"""

import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont, ImageOps

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

#: Sign of the font and share of the font's size that it is wide, by combining mark.
_ABOVE = {
    "\u0300": ("`", 0.17),
    "\u0301": ("´", 0.17),
    "\u0302": ("^", 0.30),
    "\u0303": ("~", 0.34),
    "\u0304": ("-", 0.30),
    "\u0307": (".", 0.10),
    "\u0308": ("..", 0.30),
    "\u030a": ("°", 0.20),
    "\u030b": ("´´", 0.32),
    "\u030c": ("^", 0.30),
}
_BELOW = {"\u0326": (",", 0.11), "\u0327": (",", 0.12), "\u0328": (",", 0.12)}
_UPSIDE_DOWN = "\u030c"
_GAP, _TALLEST = 0.06, 0.19


@lru_cache(maxsize=64)
def font_of(pixels: int) -> Font:
    return ImageFont.load_default(pixels)


def unknown_letters(text: str) -> list[str]:
    """Characters that cannot be drawn, each once, sorted."""
    return sorted({c for c in unicodedata.normalize("NFC", text) if not _drawable(c)})


def length(text: str, font: Font) -> float:
    """Width in pixels; marks add none."""
    return font.getlength(_bare(text))


def line_box(text: str, font: Font) -> tuple[int, int]:
    """(top, bottom) under the pen of any line of this text, accents and feet included."""
    _, top, _, bottom = font.getbbox("Ebgjpqy")
    if any(mark in _ABOVE for mark in unicodedata.normalize("NFD", text)):
        top -= round((_GAP + _TALLEST) * _size(font))
    return int(top), int(bottom)


def paint(picture: Image.Image, x: float, y: float, line: str, font: Font) -> None:
    """Draw a line into a grey picture, its pen at (x, y)."""
    bare = _bare(line)
    ImageDraw.Draw(picture).text((x, y), bare, fill=255, font=font)
    for at, letter in enumerate(unicodedata.normalize("NFC", line)):
        base, *marks = tuple(unicodedata.normalize("NFD", letter))
        left = x + font.getlength(bare[: at + 1]) - font.getlength(base)
        for mark in marks:
            if mark in _ABOVE and base in "ij":
                _undot(picture, left, y, base, font)
            _paint_mark(picture, left, y, base, mark, font)


def _bare(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


def _size(font: Font) -> float:
    return float(getattr(font, "size", 10))


def _drawable(character: str) -> bool:
    base, *marks = tuple(unicodedata.normalize("NFD", character))
    known = base.isspace() or _has_glyph(base)
    return known and len(marks) <= 1 and all(mark in _ABOVE or mark in _BELOW for mark in marks)


@lru_cache(maxsize=1024)
def _has_glyph(character: str) -> bool:
    """False where the font draws its box for the unknown."""
    font = font_of(24)
    drawn, unknown = font.getmask(character), font.getmask("\U0010fffd")
    return drawn.size != unknown.size or bytes(drawn) != bytes(unknown)


def _letter_box(base: str, font: Font) -> tuple[float, float, float, float]:
    """Of a letter without its dot."""
    left, top, right, bottom = font.getbbox(base)
    return left, font.getbbox("x")[1] if base in "ij" else top, right, bottom


def _undot(picture: Image.Image, x: float, y: float, base: str, font: Font) -> None:
    left, top, right, _ = font.getbbox(base)
    low = font.getbbox("x")[1] - 1
    box = (round(x + left), round(y + top) - 1, round(x + right) + 1, round(y + low))
    picture.paste(0, box)


def _paint_mark(picture: Image.Image, x: float, y: float, base: str, mark: str, font: Font) -> None:
    sign = _sign(mark, round(_size(font)))
    left, top, right, bottom = _letter_box(base, font)
    middle = round(x + (left + right) / 2 - sign.width / 2)
    raised = round(y + top - _GAP * _size(font)) - sign.height
    row = raised if mark in _ABOVE else round(y + bottom)
    picture.paste(255, (middle, row), sign)


@lru_cache(maxsize=256)
def _sign(mark: str, size: int) -> Image.Image:
    """A mark as grey coverage, scaled from a large drawing of its sign."""
    sign, share = (_ABOVE | _BELOW)[mark]
    large = font_of(size * 4)
    drawn = Image.new("L", (size * 8, size * 8))
    ImageDraw.Draw(drawn).text((size, size), sign, fill=255, font=large)
    drawn = drawn.crop(drawn.getbbox())  # the ink alone: the font's own boxes reach to the baseline
    width = max(round(share * size), 2)
    height = round(drawn.height * width / drawn.width)
    height = min(max(height, 2), max(round(_TALLEST * size), 2))
    scaled = drawn.resize((width, height), Image.Resampling.BOX)
    return ImageOps.flip(scaled) if mark == _UPSIDE_DOWN else scaled
