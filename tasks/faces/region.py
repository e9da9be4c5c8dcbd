"""The square region round a face that the landmark network sees, as a matrix; pure geometry.

A region is a (2, 3) matrix from region pixels (`SIDE` square, centres at integers) to picture
pixels: a similarity, so a face is always seen upright and at one size.  Shapes relative to a
region count it as 1 wide with its middle at 0.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as face

SIDE: Final = 112
#: A Haar box to its face's region: the centre moves down by, and the side grows to, this part of its width.
BOX_DOWN: Final = 0.203
BOX_SIDE: Final = 1.03
#: A box from brow to chin, as of detectors trained on WIDER FACE, in outer-eye distances: its width and height, how
#: far its top lies above the eyes, and where and how large the region of such a face is.
_TIGHT: Final = (1.5, 2.09)
_TIGHT_TOP: Final = 0.85
_REGION_DOWN: Final = 0.585
_REGION_SIDE: Final = 1.914


def region_of_box(box: NDArray[np.float32]) -> NDArray[np.float32]:
    """The upright region of a cascade's x, y, w, h box."""
    x, y, w, h = (float(v) for v in box)
    return _similarity(BOX_SIDE * w, 0.0, x + w / 2, y + h / 2 + BOX_DOWN * w)


def region_of_tight_box(box: NDArray[np.float32]) -> NDArray[np.float32]:
    """The upright region of a network's x, y, w, h box."""
    x, y, w, h = (float(v) for v in box)
    eyes_apart = (w / _TIGHT[0] + h / _TIGHT[1]) / 2
    down = (_TIGHT_TOP + _REGION_DOWN) * eyes_apart
    return _similarity(_REGION_SIDE * eyes_apart, 0.0, x + w / 2, y + down)


def five_of(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """(5, 2) middles of the eyes, nose tip, mouth corners of a face (51, 2): what detectors tell."""
    corners = points[face.EYE_CORNERS]
    rest = points[[face.NOSE_TIP, face.MOUTH_LEFT, face.MOUTH_RIGHT]]
    return np.concatenate([corners[:2].mean(0)[None], corners[2:].mean(0)[None], rest]).astype(np.float64)


def region_of_points(points: NDArray[np.floating], shape: NDArray[np.floating]) -> NDArray[np.float32]:
    """The region in which `points` (K, 2) lie as near as can be to `shape` (K, 2), least squares.

    Umeyama, PAMI 1991, without reflection.
    """
    p, q = points.astype(np.float64), shape.astype(np.float64)
    p_middle, q_middle = p.mean(0), q.mean(0)
    p, q = p - p_middle, q - q_middle
    power = max(1e-12, float((q * q).sum()))
    a = float((p * q).sum()) / power
    b = float((q[:, 0] * p[:, 1] - q[:, 1] * p[:, 0]).sum()) / power
    x = p_middle[0] - (a * q_middle[0] - b * q_middle[1])
    y = p_middle[1] - (b * q_middle[0] + a * q_middle[1])
    return _similarity(a, b, float(x), float(y))


def widened(region: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """The region about the same middle, `factor` times as wide."""
    linear = region[:, :2] * np.float32(factor)
    middle = np.float32((SIDE - 1) / 2)
    offset = region[:, 2] + (region[:, :2] - linear).sum(1) * middle
    return np.concatenate((linear, offset[:, None]), 1)


def _similarity(a: float, b: float, x: float, y: float) -> NDArray[np.float32]:
    """The matrix of the map that turns and scales by a + bi and puts the middle at x, y."""
    a, b, middle = a / SIDE, b / SIDE, (SIDE - 1) / 2
    return np.array([[a, -b, x - a * middle + b * middle], [b, a, y - b * middle - a * middle]], np.float32)


def from_region(matrix: NDArray[np.float32], shape: NDArray[np.float32]) -> NDArray[np.float32]:
    """Relative shapes (..., 2) as points in picture pixels."""
    pixels = shape * SIDE + (SIDE - 1) / 2
    return np.asarray(pixels @ matrix[:, :2].T + matrix[:, 2], np.float32)
