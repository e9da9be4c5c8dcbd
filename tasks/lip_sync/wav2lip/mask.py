"""What of a generated face is shown: mouth and jaw with a soft edge, or the lower half of the crop; on crop pixels."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.occlusion.hull import lip_cells, mouth_hull
from tasks.nets.wav2lip import SIDE

Array = NDArray[np.float64]

#: Crop pixels from the edge of the mask to where nothing of the source is left; below the chin it is narrower,
#: or a chin that moves would be seen twice.
FEATHER: Final = 8.0
FEATHER_BELOW: Final = 4.0
#: Edges of one mask, the four of the crop among them.
_EDGES: Final = 40
#: Crop pixels a side of a cell.
_CELL: Final = 4
_EVERYWHERE: Final = (0.0, 0.0, 1e3)


def hull_edges(points: Array) -> Array:
    """(N, E, 3) lines (a, b, c) with a x + b y + c from 0 at the edge to 1 where the mask is full.

    `points` (N, 51, 2) in crop pixels.
    """
    return np.stack([_padded([*_hull(one), *_sides(0.0)]) for one in points]).reshape(-1, _EDGES, 3)


def box_edges(count: int) -> Array:
    """The same for the lower half of the crop."""
    return np.stack([_padded(_sides(SIDE / 2 - FEATHER))] * count).reshape(-1, _EDGES, 3)


def _hull(points: Array) -> list[tuple[float, float, float]]:
    corners = mouth_hull(points)
    middle = corners.mean(0)
    lines = []
    for (x, y), (u, v) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        a, b = v - y, x - u
        inwards = a * (middle[0] - x) + b * (middle[1] - y)
        length = float(np.hypot(a, b)) * (1 if inwards > 0 else -1)
        if abs(inwards) > 1e-6:
            a, b = a / length, b / length
            feather = FEATHER_BELOW if b < -0.7 else FEATHER
            lines.append((a / feather, b / feather, -(a * x + b * y) / feather))
    return lines


def _sides(top: float) -> list[tuple[float, float, float]]:
    """The crop's own edges, from which the mask must have come to 0."""
    return [
        (0.0, 1 / FEATHER, -top / FEATHER),
        (0.0, -1 / FEATHER_BELOW, (SIDE - 1) / FEATHER_BELOW),
        (1 / FEATHER, 0.0, 0.0),
        (-1 / FEATHER, 0.0, (SIDE - 1) / FEATHER),
    ]


def _padded(lines: list[tuple[float, float, float]]) -> Array:
    return np.array([*lines, *[_EVERYWHERE] * (_EDGES - len(lines))], np.float64)


def soft_masks(edges: Array, device: torch.device) -> Tensor:
    """(N, 1, 96, 96) masks in 0..1, smooth across their edges."""
    lines = torch.from_numpy(np.ascontiguousarray(edges, np.float32)).to(device)
    along = torch.arange(SIDE, dtype=torch.float32, device=device)
    a, b, c = lines[..., 0, None, None], lines[..., 1, None, None], lines[..., 2, None, None]
    inside = (a * along + b * along[:, None] + c).amin(1, keepdim=True).clamp(0, 1)
    return inside * inside * (3 - 2 * inside)


def mouth_cells(points: NDArray[np.floating], device: torch.device) -> Tensor:
    """(N, 1, 24, 24) 1 in the cells of lips and what they may open to."""
    return torch.from_numpy(lip_cells(points, SIDE // _CELL, _CELL).astype(np.float32))[:, None].to(device)
