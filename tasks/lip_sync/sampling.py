"""Pictures looked up where others say, to the last digit, and values spread from nodes to pixels."""

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
    return _on_grid(rgb, offsets[:, 0] + across, offsets[:, 1] + down, "bicubic")


def turned(picture: Tensor, matrices: NDArray[np.float64], height: int, width: int) -> Tensor:
    """(N, C, height, width): a `picture` (C, H, W) looked up at `matrices` (N, 2, 3) of its pixels; edges repeat."""
    x, y = _places(torch.from_numpy(matrices.astype(np.float32)).to(picture.device), height, width)
    return _on_grid(picture[None].expand(len(matrices), -1, -1, -1), x, y, "bilinear")


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
