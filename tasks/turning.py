"""Boxes and points between the upright picture and the stored planes; knows no samples.

Upright is what a viewer sees: the stored picture transposed where its orientation says so, then
mirrored (tasks.picture.Orientation).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.errors import JobError
from tasks.picture import Orientation, PictureFormat


@dataclass(frozen=True)
class Box:
    """Half-open pixel rectangle [x0, x1) by [y0, y1); may hang over the picture's border."""

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise ValueError(f"a box must hold a pixel, found {self}")

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0


def orientation_of(format: PictureFormat) -> Orientation:
    """How the stored picture stands upright.

    Raises:
        JobError: it is turned by an odd angle.
    """
    if format.orientation is None:
        raise JobError(
            "the source is turned by an odd angle (its display matrix is no multiple of 90 degrees): "
            "it can be rendered without a task, tasks are refused; turn its pixels upright first"
        )
    return format.orientation


def stored_box(box: Box, format: PictureFormat) -> Box:
    """Where an upright box lies in the stored picture."""
    turn = orientation_of(format)
    height, width = format.upright_size
    x0, x1 = (width - box.x1, width - box.x0) if turn.mirror_x else (box.x0, box.x1)
    y0, y1 = (height - box.y1, height - box.y0) if turn.mirror_y else (box.y0, box.y1)
    return Box(y0, x0, y1, x1) if turn.transpose else Box(x0, y0, x1, y1)


def clipped(box: Box, format: PictureFormat) -> Box | None:
    """The part of a stored box inside the stored picture, None where there is none."""
    x0, x1 = max(box.x0, 0), min(box.x1, format.width)
    y0, y1 = max(box.y0, 0), min(box.y1, format.height)
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def stored_from_upright(format: PictureFormat) -> npt.NDArray[np.float64]:
    """(3, 3) map of upright pixel-centre coordinates (x, y, 1) to stored ones."""
    turn = orientation_of(format)
    height, width = format.upright_size
    mirror = np.eye(3)
    if turn.mirror_x:
        mirror[0] = (-1, 0, width - 1)
    if turn.mirror_y:
        mirror[1] = (0, -1, height - 1)
    return mirror[[1, 0, 2]] if turn.transpose else mirror


def stored_view(picture: npt.NDArray[np.generic], turn: Orientation) -> npt.NDArray[np.generic]:
    """An upright (..., H, W) array as stored: a view, nothing is copied."""
    mirrored = picture[..., :: -1 if turn.mirror_y else 1, :: -1 if turn.mirror_x else 1]
    return np.swapaxes(mirrored, -1, -2) if turn.transpose else mirrored
