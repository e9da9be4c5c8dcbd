"""The embedded enlarging network of our own: the detail of luma over an even enlargement of all colours."""

from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.nets.shuffle import pixel_shuffle
from tasks.runtime.choice import Precision

#: Shares of R', G', B' in the luma that is looked at (ITU-R BT.601-7, 2.5.1), whatever the source's matrix.
_LUMA: Final = (0.299, 0.587, 0.114)


class DetailNet(nn.Module):
    """(N, 3, H, W) RGB in 0..1 -> (N, 3, 2 * H, 2 * W), not clamped.

    A bilinear enlargement, to which the same detail is added in each colour: hues stay, and the eye finds
    detail in luma alone.  One output pixel depends on no input pixel farther than `margin`.  `forward` is
    for looking alone; training goes through `luma_detail`.
    """

    scale = 2
    multiple = 1
    precisions: ClassVar[tuple[Precision, ...]] = ("fp32",)
    "So small that less would save nothing, and it draws 12-bit sources too."
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
        return bilinear_twice(x).add_(detail)

    def luma_detail(self, luma: Tensor) -> Tensor:
        """(N, 1, H, W) -> (N, 1, 2 * H, 2 * W): what bilinear enlargement of the luma lacks."""
        # Convolutions of few channels take a third of the time where channels lie together.
        together = luma.contiguous(memory_format=torch.channels_last)
        return pixel_shuffle(self.detail(together), self.scale)


def bilinear_twice(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2 * H, 2 * W), as torch's own bilinear enlargement in a fifth of its CPU time."""
    if x.requires_grad:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    n, c, h, w = x.shape
    wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
    rows = x.new_empty((n, c, h, 2, w + 2))
    for phase, neighbour in enumerate((wide[:, :, :-2], wide[:, :, 2:])):
        torch.lerp(neighbour, wide[:, :, 1:-1], 0.75, out=rows[:, :, :, phase])
    tall = rows.view(n, c, 2 * h, w + 2)
    out = x.new_empty((n, c, 2 * h, w, 2))
    for phase, neighbour in enumerate((tall[..., :-2], tall[..., 2:])):
        torch.lerp(neighbour, tall[..., 1:-1], 0.75, out=out[..., phase])
    return out.view(n, c, 2 * h, 2 * w)
