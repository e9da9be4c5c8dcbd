"""The enlarging network of dense residual blocks (Wang et al. 2018, ESRGAN, fig. 4); keys are Real-ESRGAN's.

Its receptive field spans hundreds of pixels, so tiles of it are never exact, only close.
"""

from typing import ClassVar, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.runtime.choice import Precision

_MARGIN: Final = 32
"Pixels seen around what is kept of a tile: far fewer than the field spans, so tiles differ a little."
_RESIDUAL: Final = 0.2
"Scale of each dense block's and each triple's residual (ESRGAN, section 3.1)."


def _conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, 1, 1)


class _Dense(nn.Module):
    """Five convolutions, each of all before it."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = _conv(features, growth)
        self.conv2 = _conv(features + growth, growth)
        self.conv3 = _conv(features + 2 * growth, growth)
        self.conv4 = _conv(features + 3 * growth, growth)
        self.conv5 = _conv(features + 4 * growth, features)

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = torch.cat((seen, F.leaky_relu(conv(seen), 0.2)), 1)
        out: Tensor = x + _RESIDUAL * self.conv5(seen)
        return out


class _Triple(nn.Module):
    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = _Dense(features, growth)
        self.rdb2 = _Dense(features, growth)
        self.rdb3 = _Dense(features, growth)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + _RESIDUAL * self.rdb3(self.rdb2(self.rdb1(x)))
        return out


class RRDBNet(nn.Module):
    """(N, 3, H, W) RGB in 0..1 -> (N, 3, scale * H, scale * W), not clamped.

    Scales 1 and 2 fold 4 x 4 and 2 x 2 pixels into channels first: H and W are multiples of `multiple`.
    """

    precisions: ClassVar[tuple[Precision, ...]] = ("fp16", "fp32")
    "The picture itself passes through all layers: of bf16's 8 bits gradients would become steps."

    def __init__(self, scale: int = 4, blocks: int = 23, features: int = 64, growth: int = 32) -> None:
        super().__init__()
        if scale not in (1, 2, 4):
            raise ValueError(f"scale is {scale}, expected 1, 2 or 4")
        self.scale = scale
        self.multiple = 4 // scale
        self.margin = _MARGIN
        self.pixel_bytes = 4 * (features + 4 * growth + 3 * features * scale**2)
        self.conv_first = _conv(3 * self.multiple**2, features)
        self.body = nn.Sequential(*(_Triple(features, growth) for _ in range(blocks)))
        self.conv_body = _conv(features, features)
        self.conv_up1 = _conv(features, features)
        self.conv_up2 = _conv(features, features)
        self.conv_hr = _conv(features, features)
        self.conv_last = _conv(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        given = x.dtype
        x = self.conv_first(F.pixel_unshuffle(x.to(self.conv_first.weight.dtype), self.multiple))
        x = x + self.conv_body(self.body(x))
        for conv in (self.conv_up1, self.conv_up2):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2, mode="nearest")), 0.2)
        out: Tensor = self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))
        return out.to(given)
