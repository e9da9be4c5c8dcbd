"""A small convolutional network from a face's region to 51 points and its presence; knows no pictures.

Own design: pixel-unshuffle, three strided stages of
residual blocks, one dense layer.  Ships with its normalisation folded into the convolutions.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.faces.points import POINTS

SIDE: Final = 112
_WIDTHS: Final = (24, 48, 64)
_BOTTLENECK: Final = 20
_DENSE: Final = 112


class _Convolution(nn.Module):
    """3x3 convolution, normalisation while training, and ReLU unless `active` is false."""

    def __init__(self, inside: int, outside: int, *, stride: int = 1, norm: bool, active: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, stride, 1, bias=not norm)
        self.norm: nn.Module = nn.BatchNorm2d(outside) if norm else nn.Identity()
        self.act: nn.Module = nn.ReLU() if active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out


class _Residual(nn.Module):
    def __init__(self, width: int, *, norm: bool) -> None:
        super().__init__()
        self.first = _Convolution(width, width, norm=norm)
        self.second = _Convolution(width, width, norm=norm, active=False)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(x + self.second(self.first(x)))
        return out


class LandmarkNet(nn.Module):
    """(N, 3, 112, 112) RGB in 0..1 -> relative shapes (N, 51, 2), logits (N, 2): a face, a hidden mouth.

    `mean_shape` (51, 2) is the shape that regions are fitted to and that the network departs from.
    """

    mean_shape: Tensor

    def __init__(self, *, norm: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 12
        for width in _WIDTHS:
            layers.append(_Convolution(inside, width, stride=2, norm=norm))
            layers.append(_Residual(width, norm=norm))
            inside = width
        self.body = nn.Sequential(*layers)
        self.bottleneck = nn.Sequential(nn.Conv2d(inside, _BOTTLENECK, 1), nn.ReLU())
        self.dense = nn.Sequential(nn.Linear(_BOTTLENECK * (SIDE // 16) ** 2, _DENSE), nn.ReLU())
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(_DENSE, 2 * POINTS + 2)
        self.register_buffer("mean_shape", torch.zeros(POINTS, 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.pixel_unshuffle(x * 2 - 1, 2)  # (N, 3, 112, 112) -> (N, 12, 56, 56)
        x = self.bottleneck(self.body(x)).flatten(1)  # -> (N, 64, 7, 7) -> (N, 980)
        x = self.head(self.drop(self.dense(x)))  # -> (N, 104)
        return self.mean_shape + 0.1 * x[:, :-2].reshape(-1, POINTS, 2), x[:, -2:]


def folded(trained: LandmarkNet) -> LandmarkNet:
    """The same function without normalisation layers, ready to ship."""
    plain = LandmarkNet(norm=False)
    state: dict[str, Tensor] = {}
    for name, module in trained.named_modules():
        if isinstance(module, _Convolution) and isinstance(module.norm, nn.BatchNorm2d):
            fused = nn.utils.fuse_conv_bn_eval(module.conv.eval(), module.norm.eval())
            state |= {f"{name}.conv.{key}": value for key, value in fused.state_dict().items()}
    kept = {k: v for k, v in trained.state_dict().items() if ".norm." not in k and k not in state}
    plain.load_state_dict(kept | state)
    return plain.eval()
