"""The embedded enlarging network of our own: the detail of luma over an even enlargement of all colours."""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Shares of R', G', B' in the luma that is looked at (ITU-R BT.601-7, 2.5.1), whatever the source's matrix.
_LUMA: Final = (0.299, 0.587, 0.114)


class DetailNet(nn.Module):
    """(N, 3, H, W) RGB in 0..1 -> (N, 3, 2 * H, 2 * W), not clamped.

    A bilinear enlargement, to which the same detail is added in each colour: hues stay, and the eye finds
    detail in luma alone.  One output pixel depends on no input pixel farther than `margin`.
    """

    scale = 2
    multiple = 1
    pixel_bytes: int
    "What an input pixel takes while it is computed with."

    def __init__(self, depth: int = 8, features: int = 16) -> None:
        super().__init__()
        self.margin = depth + 2
        self.pixel_bytes = 4 * (2 * features + 2 * 3 * self.scale**2 + 4)
        layers: list[nn.Module] = [nn.Conv2d(1, features, 3, 1, 1), nn.PReLU(features)]
        for _ in range(depth):
            layers += [nn.Conv2d(features, features, 3, 1, 1), nn.PReLU(features)]
        layers.append(nn.Conv2d(features, self.scale**2, 3, 1, 1))
        self.detail = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        luma = x[:, 0:1] * _LUMA[0] + x[:, 1:2] * _LUMA[1] + x[:, 2:3] * _LUMA[2]
        detail = self.luma_detail(luma)
        return F.interpolate(x, scale_factor=self.scale, mode="bilinear") + detail

    def luma_detail(self, luma: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, 2 * H, 2 * W): what bilinear enlargement of the luma lacks."""
        # Convolutions of few channels take a third of the time where channels lie together.
        together = luma.contiguous(memory_format=torch.channels_last)
        return F.pixel_shuffle(self.detail(together), self.scale)
