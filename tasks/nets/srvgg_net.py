"""The compact enlarging network, a straight row of convolutions; keys are Real-ESRGAN's SRVGGNetCompact."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.nets.shuffle import pixel_shuffle
from tasks.runtime.choice import Precision


class SRVGGNet(nn.Module):
    """(N, 3, H, W) RGB in 0..1 -> (N, 3, scale * H, scale * W), not clamped.

    `depth` convolutions lie between the first and the last, so one output pixel depends on no input pixel
    farther than `margin`: tiles with that much around them are exact.
    """

    multiple = 1
    precisions: ClassVar[tuple[Precision, ...]] = ("fp16", "bf16", "fp32")
    "What is added to the picture bears any: the picture itself stays as it came."

    def __init__(self, scale: int = 4, depth: int = 16, features: int = 64) -> None:
        super().__init__()
        self.scale = scale
        self.margin = depth + 2
        self.pixel_bytes = 4 * (2 * features + 2 * 3 * scale**2)
        layers: list[nn.Module] = [nn.Conv2d(3, features, 3, 1, 1), nn.PReLU(features)]
        for _ in range(depth):
            layers += [nn.Conv2d(features, features, 3, 1, 1), nn.PReLU(features)]
        layers.append(nn.Conv2d(features, 3 * scale**2, 3, 1, 1))
        self.body = nn.Sequential(*layers)

    @property
    def precision(self) -> torch.dtype:
        """Of the weights."""
        return next(self.body.parameters()).dtype

    def forward(self, x: Tensor) -> Tensor:
        detail = pixel_shuffle(self.body(x.to(self.precision)), self.scale)  # (N, 3 s², H, W) -> (N, 3, s H, s W)
        return F.interpolate(x, scale_factor=self.scale, mode="nearest") + detail
