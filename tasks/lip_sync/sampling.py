"""Pictures looked up where others say: on the processor by OpenCV, four times as fast there, elsewhere by torch.

OpenCV looks at places to a 32nd of a pixel, torch to the last digit: half a code value apart at the
sharpest edges.  Either gives a picture the same pixels whatever stands beside it.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.grid import margin


def enlarged(nodes: Tensor, height: int, width: int) -> Tensor:
    """(N, C, rows, columns) of a `grid.Grid` -> (N, C, height, width): straight lines between nodes."""
    down, across = margin(height, nodes.shape[-2]), margin(width, nodes.shape[-1])
    size = (height + 2 * down, width + 2 * across)
    if nodes.is_cuda:
        spread = F.interpolate(nodes, size=size, mode="bilinear", align_corners=False)
    else:
        spread = torch.empty(*nodes.shape[:2], *size)
        for one, target in zip(nodes.flatten(0, 1).numpy(), spread.flatten(0, 1).numpy(), strict=True):
            cv2.resize(one, size[::-1], dst=target, interpolation=cv2.INTER_LINEAR)
    return spread[..., down : down + height, across : across + width]


def moved(rgb: Tensor, offsets: Tensor, first_row: int = 0, first_column: int = 0) -> Tensor:
    """(N, 3, h, w): `rgb` (N, 3, H, W) looked up, bicubic, at pixels plus their `offsets` (N, 2, h, w).

    The first pixel of the result stands at the given place; edges repeat.
    """
    rows, columns = offsets.shape[-2:]
    across = torch.arange(first_column, first_column + columns, device=rgb.device, dtype=torch.float32)
    down = torch.arange(first_row, first_row + rows, device=rgb.device, dtype=torch.float32)[:, None]
    x, y = offsets[:, 0] + across, offsets[:, 1] + down
    if rgb.is_cuda:
        return _on_grid(rgb, x, y, "bicubic")
    looked = torch.empty(*rgb.shape[:2], rows, columns)
    for i, pictures in enumerate(rgb.numpy()):
        for picture, target in zip(pictures, looked[i].numpy(), strict=True):
            cv2.remap(picture, x[i].numpy(), y[i].numpy(), cv2.INTER_CUBIC, target, cv2.BORDER_REPLICATE)
    return looked


def turned(picture: Tensor, matrices: NDArray[np.float64], height: int, width: int) -> Tensor:
    """(N, C, height, width): a `picture` (C, H, W) looked up at `matrices` (N, 2, 3) of its pixels; edges repeat."""
    if picture.is_cuda:
        x, y = _places(torch.from_numpy(matrices.astype(np.float32)).to(picture.device), height, width)
        return _on_grid(picture[None].expand(len(matrices), -1, -1, -1), x, y, "bilinear")
    looked = torch.empty(len(matrices), len(picture), height, width)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for matrix, targets in zip(matrices, looked.numpy(), strict=True):
        for one, target in zip(picture.numpy(), targets, strict=True):
            cv2.warpAffine(one, matrix, (width, height), target, flags, cv2.BORDER_REPLICATE)
    return looked


def colours_at(rgb: Tensor, places: Tensor) -> Tensor:
    """(N, 3, K) colours of `rgb` at places (N, K, 2) in its pixels, bilinear; edges repeat."""
    return _on_grid(rgb, places[:, None, :, 0], places[:, None, :, 1], "bilinear")[:, :, 0]


def _places(matrices: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    columns = torch.arange(width, device=matrices.device, dtype=torch.float32)
    rows = torch.arange(height, device=matrices.device, dtype=torch.float32)[:, None]
    m = matrices[..., None, None]
    return m[:, 0, 0] * columns + m[:, 0, 1] * rows + m[:, 0, 2], m[:, 1, 0] * columns + m[:, 1, 1] * rows + m[:, 1, 2]


def _on_grid(rgb: Tensor, x: Tensor, y: Tensor, mode: str) -> Tensor:
    height, width = rgb.shape[-2:]
    grid = torch.stack([x * (2 / (width - 1)) - 1, y * (2 / (height - 1)) - 1], dim=-1)
    return F.grid_sample(rgb, grid, mode=mode, padding_mode="border", align_corners=True)
