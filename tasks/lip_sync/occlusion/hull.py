"""Where mouth and jaw of a face are, on the pixels of its upright crop; what is drawn lies there."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as face

Array = NDArray[np.float64]

#: The hull's edge lies so many pixels of a crop of 96 below the jaw line.
BELOW_JAW: Final = 4.0
#: Lips lie inside the hull by this: it holds them enlarged so many times.
LIP_MARGIN: Final = 1.7
_JAW: Final = tuple(range(33, 42))
_NOSTRILS: Final = (45, 46)


def mouth_hull(points: Array) -> Array:
    """(C, 2) corners of the convex hull of mouth and jaw of one face (51, 2), in pixels of a crop of 96."""
    jaw = points[list(_JAW)]
    lips = points[face.OUTER_LIP]
    beyond = lips.mean(0) + LIP_MARGIN * (lips - lips.mean(0))
    around = np.concatenate([jaw, jaw + np.array([0.0, BELOW_JAW]), beyond, points[list(_NOSTRILS)]])
    return cv2.convexHull(around.astype(np.float32))[:, 0].astype(np.float64)


def hull_cells(points: Array, cells: int, cell: int) -> NDArray[np.bool_]:
    """(cells, cells) whose middles, `cell` pixels apart, lie in the hull of one face."""
    inside = np.zeros((cells, cells), np.uint8)
    corners = (mouth_hull(points) + 0.5) / cell - 0.5
    cv2.fillConvexPoly(inside, np.rint(corners * 16).astype(np.int32), 1, shift=4)
    return inside > 0


def lip_cells(points: NDArray[np.floating], cells: int, cell: int) -> NDArray[np.bool_]:
    """(N, cells, cells) that show lips, or what they may open to, of faces (N, 51, 2)."""
    lips = np.asarray(points, np.float64)[:, face.OUTER_LIP] / cell
    middle = lips.mean(1)
    half = np.stack([np.ptp(lips[..., 0], 1) / 2 + 1.0, np.maximum(np.ptp(lips[..., 1], 1) / 2, 2.0) + 1.5], 1)
    at = np.arange(cells)
    across = (at[None, :] - middle[:, :1]) / half[:, :1]
    down = (at[None, :] - middle[:, 1:]) / half[:, 1:]
    return np.asarray(across[:, None] ** 2 + down[:, :, None] ** 2 <= 1)
