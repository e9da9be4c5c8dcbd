"""What of a restored face is shown, and with whose light; on crops framed as FFHQ's, each by itself."""

from typing import Final

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from tasks.faces import points as face
from tasks.lip_sync.face_frame import FFHQ_SIDE

Array = NDArray[np.float64]

AREAS: Final = ("mouth", "face")
#: Masks are made at this side: an edge as soft as theirs needs no more.
MASK_SIDE: Final = 128
#: From the edge of a mask to where it is full, in eye distances.
_FEATHER: Final = 0.16
#: Lips lie inside by this: the mask holds them enlarged so many times.
_LIP_MARGIN: Final = 1.7
#: How far above the eyes a whole face ends, in eye distances.
_FOREHEAD: Final = 0.5
_JAW: Final = tuple(range(33, 42))
_NOSTRILS: Final = (45, 46)
#: Light is compared on so many cells a side, each a fifth of an eye distance wide: coarser than what is restored.
_CELLS: Final = 16
_LIGHT_LIMIT: Final = 0.25


def shown_masks(points: Array, area: str) -> Tensor:
    """(N, 1, 128, 128) from 0 to 1, soft inwards from the edge of `area`; `points` (N, 51, 2) in pixels of the mask."""
    masks = [_soft(_outline(one, area)) for one in points]
    return torch.from_numpy(np.stack(masks) if masks else np.zeros((0, MASK_SIDE, MASK_SIDE), np.float32))[:, None]


def _outline(points: Array, area: str) -> Array:
    """(K, 2) corners of the convex area."""
    lips = points[face.OUTER_LIP]
    below = [points[list(_JAW)], lips.mean(0) + _LIP_MARGIN * (lips - lips.mean(0)), points[list(_NOSTRILS)]]
    if area == "face":
        lifted = points[face.EYE_CORNERS] - (0, _FOREHEAD * MASK_SIDE / FFHQ_SIDE)
        below += [points[face.JAW], points[face.EYE_CORNERS], lifted]
    return cv2.convexHull(np.concatenate(below).astype(np.float32))[:, 0].astype(np.float64)


def _soft(corners: Array) -> NDArray[np.float32]:
    """A convex area as a mask that has come to 0 at its edge."""
    width = _FEATHER * MASK_SIDE / FFHQ_SIDE
    canvas = np.zeros((MASK_SIDE, MASK_SIDE), np.uint8)
    cv2.fillConvexPoly(canvas, np.rint(corners * 16).astype(np.int32), 255, lineType=cv2.LINE_AA, shift=4)
    blurred = cv2.GaussianBlur(canvas.astype(np.float32) / 255, (0, 0), width / 2, borderType=cv2.BORDER_CONSTANT)
    inside = (2 * blurred - 1).clip(0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside), np.float32)


def with_own_light(seen: Tensor, restored: Tensor) -> Tensor:
    """The restored crops (N, 3, s, s) with the colour and light that was seen there, whatever is coarser than a lip.

    A network that restores one frame darker than the next makes a face flicker; what it may change is detail.
    """
    moved = (_coarse(seen) - _coarse(restored)).clamp(-_LIGHT_LIMIT, _LIGHT_LIMIT)
    return restored + functional.interpolate(moved, size=restored.shape[-2:], mode="bilinear", align_corners=False)


def _coarse(crops: Tensor) -> Tensor:
    """(N, 3, 16, 16) means, smooth from cell to cell."""
    cells = functional.avg_pool2d(crops, crops.shape[-1] // _CELLS)
    return functional.avg_pool2d(cells, 3, 1, 1, count_include_pad=False)
