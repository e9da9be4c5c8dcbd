"""From pictures to crops and back: faces sampled upright, what was drawn matched in colour and blended in.

Works on float RGB regions on any device.  Each face is a function of its own values alone.  Where a
mask is 0 the pixels are bit-identical.
"""

from math import ceil, log2
from typing import Final

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.face_frame import to_picture
from tasks.nets.wav2lip import SIDE
from tasks.turning import Box

Array = NDArray[np.float64]

#: Pixels per sample from which on areas are averaged, as bilinear sampling would alias.
_AREA_FROM: Final = 1.3
#: How far light is carried inwards from the edge of a mask, in cells of 4 crop pixels, and how much at most.
_CELL: Final = 4
_LIGHT_REACH: Final = 5
_LIGHT_LIMIT: Final = 0.15
#: A mask below this is none: it would change no code value of 10 bits.
_LEAST: Final = 1e-3

_CORNERS: Final = np.array([(-0.5, -0.5), (SIDE - 0.5, -0.5), (SIDE - 0.5, SIDE - 0.5), (-0.5, SIDE - 0.5)])


def box_of_crop(matrix: Array) -> Box:
    """The even box of pixels that a crop's (2, 3) map looks at; may hang over the border."""
    corners = to_picture(matrix[None], _CORNERS)[0]
    low = np.floor((corners.min(0) - 2) / 2).astype(int) * 2
    high = np.ceil((corners.max(0) + 3) / 2).astype(int) * 2
    return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def box_of_mask(matrix: Array, mask: Tensor, around: Box) -> Box:
    """The even box of pixels within `around` that a mask (96, 96) of the crop can reach."""
    shown = (mask > _LEAST).nonzero()
    if not len(shown):
        return Box(around.x0, around.y0, around.x0 + 2, around.y0 + 2)
    (top, left), (bottom, right) = shown.amin(0).tolist(), shown.amax(0).tolist()
    corners = np.array([(x, y) for x in (left - 1.0, right + 1.0) for y in (top - 1.0, bottom + 1.0)])
    places = to_picture(matrix[None], corners)[0]
    low = np.floor(places.min(0) / 2).astype(int) * 2
    high = np.ceil((places.max(0) + 1) / 2).astype(int) * 2
    x0, y0 = max(int(low[0]), around.x0), max(int(low[1]), around.y0)
    return Box(x0, y0, max(min(int(high[0]), around.x1), x0 + 2), max(min(int(high[1]), around.y1), y0 + 2))


def sample_crop(rgb: Tensor, around: Box, matrix: Array, *, side: int = SIDE) -> Tensor:
    """(1, 3, side, side) of a region (1, 3, h, w) that shows the box `around`; areas are averaged, edges repeat."""
    halvings = _halvings(_scale(matrix))
    source = rgb
    for _ in range(halvings):
        source = functional.avg_pool2d(source, 2, ceil_mode=True)
    moved = matrix.copy()
    moved[:, 2] -= (around.x0, around.y0)
    return _looked_up(source, _at_cells(moved, 1 << halvings), (side, side), mode="bilinear")


def paste(rgb: Tensor, box: Box, matrix: Array, drawn: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The region (1, 3, h, w) of `box` with what was drawn (1, 3, s, s) where the mask (1, 1, s, s) shows it.

    `matrix` leads from pixels of what was drawn to the picture's.
    Also the mask (1, 1, h, w) at the region's own resolution.
    """
    back = _inverse(matrix, box)
    halvings = _halvings(1 / _scale(matrix))
    both = torch.cat([drawn, mask], 1)
    for _ in range(halvings):
        both = functional.avg_pool2d(both, 2)
    back = _at_cells(back, 1 << halvings)
    size = (box.height, box.width)
    colour = _looked_up(both[:, :3], back, size, mode="bicubic")
    shown = _looked_up(both[:, 3:], back, size, mode="bilinear")
    shown = torch.where(shown > _LEAST, shown, 0.0)
    return torch.lerp(rgb, colour, shown), shown


def finer(matrix: Array, side: int) -> Array:
    """The map (2, 3) of a crop of 96 pixels for one of `side` pixels that shows the same."""
    times = side / SIDE
    linear = matrix[:, :2] / times
    return np.concatenate([linear, (matrix[:, 2] + (linear - matrix[:, :2]).sum(1) / 2)[:, None]], 1)


def resized(crops: Tensor, side: int) -> Tensor:
    """The same crops (N, C, s, s) at `side` pixels, a multiple or a part of s; themselves where that is s."""
    if crops.shape[-1] == side:
        return crops
    if crops.shape[-1] > side:
        return functional.avg_pool2d(crops, crops.shape[-1] // side)
    return functional.interpolate(crops, size=(side, side), mode="bilinear", align_corners=False)


def match_light(source: Tensor, drawn: Tensor, mask: Tensor, unlike: Tensor) -> Tensor:
    """What was drawn (N, 3, s, s) with the colour and light that the source has along the mask's edge.

    The difference there is carried inwards, smoothly and weighted by nearness (normalised convolution,
    Knutsson and Westin, CVPR 1993), so that a cheek in the light and one in the shade both join.
    `unlike` (N, 1, 24, 24) is 1 in cells that are to differ: a mouth that opens near the edge would darken the cheek.
    """
    edge = 4 * mask * (1 - mask) * (1 - functional.interpolate(unlike, size=mask.shape[-2:]))
    moved = resized(torch.cat([(source - drawn) * edge, edge], 1), SIDE // _CELL)  # (N, 4, 24, 24)
    for _ in range(3):
        moved = functional.avg_pool2d(moved, _LIGHT_REACH, 1, _LIGHT_REACH // 2)
    light = (moved[:, :3] / moved[:, 3:].clamp(min=1e-4)).clamp(-_LIGHT_LIMIT, _LIGHT_LIMIT)
    return drawn + resized(light, drawn.shape[-1])


def _scale(matrix: Array) -> float:
    """Pixels per crop pixel."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def _halvings(scale: float) -> int:
    return max(0, ceil(log2(max(scale, 1e-6) / _AREA_FROM)))


def _at_cells(to_pixels: Array, cell: int) -> Array:
    """The same map to cells of `cell` by `cell` pixels."""
    moved = to_pixels / cell
    moved[:, 2] = (to_pixels[:, 2] + 0.5) / cell - 0.5
    return moved


def _inverse(matrix: Array, box: Box) -> Array:
    """(2, 3) from pixels of the box to crop pixels."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, (linear @ ((box.x0, box.y0) - matrix[:, 2]))[:, None]], 1)


def _looked_up(source: Tensor, places: Array, size: tuple[int, int], *, mode: str) -> Tensor:
    """(1, C, *size) of `source` (1, C, h, w) at `places` (2, 3): output pixel -> source pixel, edges repeated."""
    height, width = source.shape[-2:]
    down = torch.arange(size[0], dtype=torch.float32, device=source.device)[:, None]
    along = torch.arange(size[1], dtype=torch.float32, device=source.device)
    (a, b, c), (d, e, f) = places.tolist()
    grid = torch.stack(
        [
            (along * a + (down * b + c)) * (2 / width) + (1 / width - 1),
            (along * d + (down * e + f)) * (2 / height) + (1 / height - 1),
        ],
        dim=-1,
    )[None]
    return functional.grid_sample(source, grid, mode=mode, padding_mode="border", align_corners=False)
