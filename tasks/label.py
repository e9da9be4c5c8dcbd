"""A visible text on every picture: white on a dark translucent plate at the bottom, upright as shown.

Drawn once per format and blended into the planes under its box; all else stays bit for bit.
"""

import unicodedata
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import PIL
import torch
from PIL import Image, ImageDraw

from tasks.colour import conversion
from tasks.device_batch import Box, DeviceBatch
from tasks.errors import JobError
from tasks.identity import IdentityTask
from tasks.lettering import Font, font_of, length, line_box, paint, unknown_letters
from tasks.picture import PictureFormat
from tasks.task import TaskInputs, TaskSpec
from tasks.tone_map import tone_map
from tasks.turning import orientation_of, stored_box, stored_view

LONGEST = 160
LINES = 3
#: Shares of the shown picture's shorter side.
_TEXT_SIZE, _MARGIN = 0.04, 0.05
_FIRST_PIXELS, _LEAST_PIXELS = 11, 7
_PLATE_DARKNESS = 0.6
#: Bumped by hand when the same text is drawn otherwise.
_VERSION = 1

Picture = npt.NDArray[np.float32]


class LabelTask(IdentityTask):
    """The text of option `text` on every frame; needs no scan.

    Raises:
        JobError: the text is empty, longer than 160 characters, or has characters that the font lacks.
    """

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__(spec)
        self._text = checked_text(spec.option("text"))
        self._overlays: dict[tuple[PictureFormat, torch.device], Overlay] = {}

    def digest(self) -> str:
        return f"label-{_VERSION}-pillow-{PIL.__version__}"

    def render(self, batch: DeviceBatch, inputs: TaskInputs) -> DeviceBatch:
        """Draw the label into every picture.

        Raises:
            JobError: it does not fit the picture, which is turned by an odd angle or too small.
        """
        key = (batch.format, batch.device)
        if key not in self._overlays:
            self._overlays = {key: plane_overlay(self._text, batch.format, batch.device)}
        overlay = self._overlays[key]
        batch.blend_planes(overlay.box, overlay.keep, overlay.add)
        return batch

    def release(self) -> None:
        self._overlays = {}


@dataclass(frozen=True)
class Overlay:
    """A label for one format: `codes * keep + add` under a stored, chroma-aligned box."""

    box: Box
    keep: tuple[torch.Tensor, ...]
    add: tuple[torch.Tensor, ...]


def checked_text(text: str) -> str:
    """The label on one line, as it will be wrapped.

    Raises:
        JobError: as for `LabelTask`.
    """
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    if not text:
        raise JobError("the label is empty, expected some text (--label TEXT)")
    if len(text) > LONGEST:
        raise JobError(f"the label has {len(text)} characters, expected at most {LONGEST}: shorten it")
    if missing := unknown_letters(text):
        raise JobError(
            f"the label has characters that the built-in font cannot draw: {' '.join(missing)}; "
            "it has ASCII and Latin letters with one accent"
        )
    return text


def plane_overlay(text: str, format: PictureFormat, device: torch.device) -> Overlay:
    """The label in a format's own planes.

    Raises:
        JobError: as for `LabelTask.render`.
    """
    box, plate, letters = _drawn(text, format)
    stored, turn = stored_box(box, format), orientation_of(format)
    aligned = _aligned(stored, format)
    top, left = stored.y0 - aligned.y0, stored.x0 - aligned.x0
    keep = np.ones((aligned.height, aligned.width), np.float32)
    white = np.zeros_like(keep)
    under = np.s_[top : top + stored.height, left : left + stored.width]
    keep[under] = stored_view((1 - _PLATE_DARKNESS * plate) * (1 - letters), turn)
    white[under] = stored_view(letters, turn)

    to, view = conversion(format.colour, format.layout), tone_map(format.colour)
    luma = (1 - keep) * to.luma_offset + white * (to.luma_span * (view.white if view else 1.0))
    kept = _cell_means(keep, 1 << format.layout.chroma_shift_x, 1 << format.layout.chroma_shift_y)
    chroma = (1 - kept) * to.chroma_offset
    tensors = [torch.from_numpy(np.ascontiguousarray(p, np.float32)).to(device) for p in (keep, kept, luma, chroma)]
    return Overlay(aligned, (tensors[0], tensors[1], tensors[1]), (tensors[2], tensors[3], tensors[3]))


def _aligned(box: Box, format: PictureFormat) -> Box:
    """A stored box inside the picture grown to whole chroma cells."""
    across, down = 1 << format.layout.chroma_shift_x, 1 << format.layout.chroma_shift_y
    x1, y1 = -(-box.x1 // across) * across, -(-box.y1 // down) * down
    return Box(box.x0 // across * across, box.y0 // down * down, min(x1, format.width), min(y1, format.height))


def _cell_means(picture: Picture, across: int, down: int) -> Picture:
    """Means over chroma cells; those at the picture's end may be smaller."""
    rows, columns = np.arange(0, picture.shape[0], down), np.arange(0, picture.shape[1], across)
    sums = np.add.reduceat(np.add.reduceat(picture, rows, axis=0), columns, axis=1)
    counts = np.add.reduceat(np.add.reduceat(np.ones_like(picture), rows, axis=0), columns, axis=1)
    return np.asarray(sums / counts, np.float32)


def _drawn(text: str, format: PictureFormat) -> tuple[Box, Picture, Picture]:
    """Upright box, and (h, w) coverage 0..1 of plate and letters in it."""
    height, width = format.upright_size
    stretch = float(format.sample_aspect_ratio) or 1.0
    wide, tall = (1.0, stretch) if orientation_of(format).transpose else (stretch, 1.0)
    shown = (max(round(width * wide), 1), max(round(height * tall), 1))
    lines, font = _laid_out(text, *shown)
    plate, letters = _painted(lines, font)
    size = (max(round(plate.width / wide), 1), max(round(plate.height / tall), 1))
    if size != plate.size:
        plate, letters = (p.resize(size, Image.Resampling.BICUBIC) for p in (plate, letters))
    x0 = (width - size[0]) // 2
    y0 = height - round(_MARGIN * min(shown) / tall) - size[1]
    if x0 < 0 or y0 < 0:
        raise _too_small(text, width, height)
    coverage = [np.asarray(np.asarray(p) / 255, np.float32) for p in (plate, letters)]
    return Box(x0, y0, x0 + size[0], y0 + size[1]), coverage[0], coverage[1]


def _laid_out(text: str, width: int, height: int) -> tuple[list[str], Font]:
    """Lines and font: the largest of the sizes at which the text takes at most three lines."""
    side = min(width, height)
    pixels = max(round(_TEXT_SIZE * side), _FIRST_PIXELS)
    while pixels >= _LEAST_PIXELS:
        font = font_of(pixels)
        room = width - 2 * _MARGIN * side - _padding(font)[0] * 2
        lines = _wrapped(text, font, room)
        if len(lines) <= LINES and max(length(line, font) for line in lines) <= room:
            return _balanced(text, font, room, len(lines)), font
        pixels = min(pixels - 1, round(pixels * 0.92))
    raise _too_small(text, width, height)


def _too_small(text: str, width: int, height: int) -> JobError:
    return JobError(
        f"the label of {len(text)} characters does not fit a picture of {width}x{height} in {LINES} lines: shorten it"
    )


def _wrapped(text: str, font: Font, room: float) -> list[str]:
    """Lines no wider than `room`, broken between words, inside one only where it is wider alone."""
    lines = [""]
    for word in text.split(" "):
        joined = f"{lines[-1]} {word}".strip()
        if length(joined, font) <= room:
            lines[-1] = joined
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and length(lines[-1] + letter, font) > room:
                lines.append("")
            lines[-1] += letter
    return [line for line in lines if line]


def _balanced(text: str, font: Font, room: float, count: int) -> list[str]:
    """The narrowest block of `count` lines, so that no word stands alone in the last."""
    low, high = room / count * 0.5, room
    while high - low > 1:
        middle = (low + high) / 2
        if len(_wrapped(text, font, middle)) <= count:
            high = middle
        else:
            low = middle
    return _wrapped(text, font, high)


def _painted(lines: list[str], font: Font) -> tuple[Image.Image, Image.Image]:
    """Plate and letters as grey coverage, in square pixels."""
    across, down = _padding(font)
    top, bottom = line_box("".join(lines), font)
    step = round((bottom - top) * 1.1)
    width = int(max(length(line, font) for line in lines)) + 1 + 2 * across
    height = step * (len(lines) - 1) + bottom - top + 2 * down
    plate, letters = Image.new("L", (width, height)), Image.new("L", (width, height))
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, width - 1, height - 1), radius=down, fill=255)
    for row, line in enumerate(lines):
        paint(letters, (width - length(line, font)) / 2, down - top + row * step, line, font)
    return plate, letters


def _padding(font: Font) -> tuple[int, int]:
    """Between the plate's edge and the letters: across, down."""
    top, bottom = line_box("", font)
    return max(round((bottom - top) * 0.5), 3), max(round((bottom - top) * 0.22), 2)
