"""Pictures of any size out of a network of one scale, by passes and resampling; knows no planes.

PQ and HLG signals are enlarged as they are: both step as the eye does, as SDR's does.  Detail that a network
adds to a tone-mapped view was tried first: on the way back small detail of saturated colours became large.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.upscale.tiles import Enlarging, enlarge


@dataclass(frozen=True)
class Tiling:
    """How much of a picture a network sees at once."""

    side: int
    "Of square tiles, in pixels of what enters a pass; a shorter picture is a tile of its own size."
    margin: int
    "Seen around what is kept of a tile."
    at_once: int = 1
    "Tiles in a call: always so many, so that each is computed alike."


def enlarged(network: Enlarging, rgb: Tensor, size: tuple[int, int], tiling: Tiling) -> Tensor:
    """(N, 3, H, W) R'G'B' -> (N, 3, *size), as many passes as are needed, then averaged down to `size`.

    What overshoots black or white, or the source's own extremes beyond them, is cut off.
    """
    x = rgb
    while x.shape[2] < size[0] or x.shape[3] < size[1]:
        x = enlarge(network, x, side=tiling.side, margin=tiling.margin, tiles_at_once=tiling.at_once)
    low = rgb.amin((1, 2, 3), keepdim=True).clamp(max=0)
    high = rgb.amax((1, 2, 3), keepdim=True).clamp(min=1)
    # A tenth of the time of clamping between tensors.
    return torch.maximum(torch.minimum(resampled(x, size), high), low)


def resampled(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, 3, H, W) at another size, bicubic, averaged over where it gets smaller."""
    if tuple(x.shape[2:]) == size:
        return x
    return F.interpolate(x, size, mode="bicubic", antialias=True, align_corners=False)
