"""RLFN, a light enlarging network of residual blocks that weigh themselves by what lies around (arXiv 2205.07514).

Keys are those of its authors' checkpoint for NTIRE 2022 (four blocks, codes of 0 to 255).
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.nets.shuffle import pixel_shuffle
from tasks.runtime.choice import Precision

_WINDOW, _STEP = 7, 3
"Of the largest values that a weight looks at, on half the picture's size."


class RLFNNet(nn.Module):
    """(N, 3, H, W) RGB in 0..1 -> (N, 3, scale * H, scale * W), not clamped.

    Weights of pixels come from a coarse grid over what the network is given, which lies elsewhere in each tile:
    so a picture is never cut.
    """

    multiple, margin, tileable = 1, 0, False
    precisions: ClassVar[tuple[Precision, ...]] = ("bf16", "fp32")
    "Codes of 255 through sums of 46 channels leave fp16's range no room."

    def __init__(self, scale: int = 4, features: int = 46, inner: int = 48, attention: int = 16) -> None:
        super().__init__()
        self.scale = scale
        self.pixel_bytes = 4 * (3 * inner + 2 * 3 * scale**2)
        self.fea_conv = nn.Conv2d(3, features, 3, 1, 1)
        self.B1, self.B2, self.B3, self.B4 = (_Block(features, inner, attention) for _ in range(4))
        self.LR_conv = nn.Conv2d(features, features, 3, 1, 1)
        self.upsampler = nn.Sequential(nn.Conv2d(features, 3 * scale**2, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        first = self.fea_conv(255 * x.to(self.fea_conv.weight.dtype))
        deep = self.B4(self.B3(self.B2(self.B1(first))))
        out = pixel_shuffle(self.upsampler(self.LR_conv(deep) + first), self.scale)
        return out.to(x.dtype) / 255


class _Block(nn.Module):
    """Three convolutions around which the picture goes, mixed, then weighed."""

    def __init__(self, features: int, inner: int, attention: int) -> None:
        super().__init__()
        self.c1_r = nn.Conv2d(features, inner, 3, 1, 1)
        self.c2_r = nn.Conv2d(inner, inner, 3, 1, 1)
        self.c3_r = nn.Conv2d(inner, features, 3, 1, 1)
        self.c5 = nn.Conv2d(features, features, 1)
        self.esa = _Attention(features, attention)

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for layer in (self.c1_r, self.c2_r, self.c3_r):
            out = F.leaky_relu(layer(out), 0.05)
        weighed: Tensor = self.esa(self.c5(out + x))
        return weighed


class _Attention(nn.Module):
    """Each pixel times what its surroundings, seen coarsely, say of it."""

    def __init__(self, features: int, attention: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, attention, 1)
        self.conv_f = nn.Conv2d(attention, attention, 1)
        self.conv2 = nn.Conv2d(attention, attention, 3, 2)
        self.conv3 = nn.Conv2d(attention, attention, 3, 1, 1)
        self.conv4 = nn.Conv2d(attention, features, 1)

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.conv1(x)
        half = self.conv2(narrow)  # (N, 16, H, W) -> (N, 16, H / 2, W / 2)
        coarse = self.conv3(F.max_pool2d(half, min(_WINDOW, *half.shape[2:]), _STEP))
        around = F.interpolate(coarse, x.shape[2:], mode="bilinear", align_corners=False)
        out: Tensor = x * torch.sigmoid(self.conv4(around + self.conv_f(narrow)))
        return out
