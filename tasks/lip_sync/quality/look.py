"""What is measured of one drawn mouth beside the source's: step at its edge, detail, and brightness in coarse cells.

What was drawn is where the two differ: outside it pixels are bit-identical.  Pure arithmetic over two crops.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.quality.crop import SIDE, Picture

#: Crop pixels of a cell, and cells of a side.
CELL: Final = 8
CELLS: Final = SIDE // CELL
#: A difference of luma below this is none: pixels that were not drawn are bit-identical, their crops too.
DRAWN: Final = 0.3 / 255
#: Crop pixels from the outline of what was drawn inwards that count as its edge.
EDGE: Final = 3
#: Luma that is no more than noise, beside which nothing is measured.
_FLOOR: Final = 2 / 255
#: Fewer drawn pixels than this are no mouth.
_LEAST: Final = 400
_LUMA: Final = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class Look:
    """One drawn mouth in one frame."""

    seam: float
    sharpness: float
    change: NDArray[np.float32]
    "(CELLS, CELLS) mean luma that the drawing added."
    source: NDArray[np.float32]
    "(CELLS, CELLS) mean luma of the source."
    drawn: NDArray[np.float32]
    "(CELLS, CELLS) share of each cell that was drawn."


def look_at(before: Picture, after: Picture) -> Look | None:
    """What a drawing did to a crop (SIDE, SIDE, 3); None where it did next to nothing."""
    source, drawn = before @ _LUMA, after @ _LUMA
    change = drawn - source
    inside = _outlined(np.abs(change) > DRAWN)
    if inside.sum() < _LEAST:
        return None
    return Look(
        _seam(source, change, inside), _sharpness(source, drawn, inside), _cells(change), _cells(source),
        _cells(inside.astype(np.float32)),
    )  # fmt: skip


def _outlined(differs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """What was drawn without specks and holes."""
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))
    closed = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_CLOSE, shape)
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, shape) > 0


def _seam(source: NDArray[np.float32], change: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """The step in brightness at the edge over the source's own steps between pixels there."""
    width = 2 * EDGE + 1
    inner = cv2.erode(inside.astype(np.uint8), np.ones((width, width), np.uint8), borderValue=1) > 0
    edge = inside & ~inner
    if not edge.any():
        return 0.0
    own = _steps(source)[edge].mean() + _FLOOR
    share = _cells(edge.astype(np.float32))
    along = share > 0.1  # Moved detail cancels out within a cell, a step does not.
    step = np.abs(_cells(np.where(edge, change, 0).astype(np.float32))[along] / share[along])
    return float(step.mean() / own)


def _steps(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of the absolute differences to the right and below."""
    right, below = np.zeros_like(luma), np.zeros_like(luma)
    right[:, :-1], below[:-1] = np.abs(np.diff(luma, axis=1)), np.abs(np.diff(luma, axis=0))
    return np.asarray((right + below) / 2, np.float32)


def _sharpness(source: NDArray[np.float32], drawn: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """Detail of the drawn over that of the source at the same place."""
    deep = cv2.erode(inside.astype(np.uint8), np.ones((9, 9), np.uint8), borderValue=1) > 0
    place = deep if deep.sum() >= _LEAST else inside
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)
    own, new = (np.abs(cv2.filter2D(luma, -1, kernel))[place].mean() for luma in (source, drawn))
    return float((new + 0.5 / 255) / (own + 0.5 / 255))


def _cells(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(values.reshape(CELLS, CELL, CELLS, CELL).mean((1, 3)), np.float32)


def edge_cells(drawn: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(CELLS, CELLS) cells along the outline of what was drawn."""
    part = drawn > 0.05
    whole = cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) > 0
    return np.asarray(part & ~whole)
