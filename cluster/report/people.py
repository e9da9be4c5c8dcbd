"""The people of a video as one picture: each with a number, so that a user can choose whose mouth moves."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tasks.task import Shown

if TYPE_CHECKING:
    from PIL.Image import Image

_SIDE: Final = 168
_COLUMNS: Final = 5
_GAP: Final = 14
_LINES: Final = 78
_PAPER, _INK, _DIM, _NOBODY = (255, 255, 255), (29, 35, 48), (98, 107, 125), (228, 231, 238)


def people_sheet(shown: Sequence[Shown]) -> bytes:
    """A JPEG with everyone in `shown`, rows from the first who appears on."""
    from PIL import Image

    columns = max(1, min(_COLUMNS, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    wide, high = _SIDE + _GAP, _SIDE + _LINES
    sheet = Image.new("RGB", (columns * wide + _GAP, rows * high + _GAP), _PAPER)
    for number, one in enumerate(shown):
        row, column = divmod(number, columns)
        _put(sheet, one, _GAP + column * wide, _GAP + row * high)
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _put(sheet: "Image", one: Shown, x: int, y: int) -> None:
    from PIL import Image, ImageDraw, ImageFont

    if one.jpeg:
        picture = Image.open(io.BytesIO(one.jpeg)).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        sheet.paste(picture, (x, y))
    else:
        sheet.paste(_NOBODY, (x, y, x + _SIDE, y + _SIDE))
    draw = ImageDraw.Draw(sheet)
    draw.text((x, y + _SIDE + 4), one.title, _INK, ImageFont.load_default(15))
    small = ImageFont.load_default(11)
    for line, text in enumerate(_wrapped(one.line, 29)[:4]):
        draw.text((x, y + _SIDE + 22 + 12 * line), text, _DIM, small)


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)
