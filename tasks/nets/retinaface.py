"""RetinaFace on MobileNet 0.25 or ResNet-50: faces, boxes and five points at three scales.

Layers and keys as in biubug6/Pytorch_Retinaface models/retinaface.py, whose checkpoints facexlib passes on, written
anew from Deng et al. 2020, "RetinaFace: Single-shot Multi-level Face Localisation in the Wild"; ResNet-50 as in He et
al. 2016 under torchvision's keys.  No reference output is at hand: keys and shapes alone are known to be upstream's.
"""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Pixels between the anchors of each map, and the sides of the two anchors at each place.
STRIDES: Final = (8, 16, 32)
SIDES: Final = ((16, 32), (64, 128), (256, 512))
_ANCHORS: Final = 2
#: Depthwise blocks of MobileNet's three stages after the first convolution: outside, stride.
_MOBILE: Final = (
    ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1)),
    ((128, 2), (128, 1), (128, 1), (128, 1), (128, 1), (128, 1)),
    ((256, 2), (256, 1)),
)
#: ResNet-50's four layers: channels inside a block, blocks, stride.
_DEEP: Final = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


class RetinaFace(nn.Module):
    """BGR pictures (N, 3, H, W) less (104, 117, 123) by channel -> classes, boxes and points of every anchor.

    Two logits (N, A, 2), the second of a face; boxes (N, A, 4) and points (N, A, 10) relative to their anchors; maps
    one after another, each row by row, both anchors of a place together.
    """

    def __init__(self, *, deep: bool) -> None:
        super().__init__()
        self.body: nn.Module = _Deep() if deep else _Mobile()
        inside, width = ((512, 1024, 2048), 256) if deep else ((64, 128, 256), 64)
        self.fpn = _Pyramid(inside, width)
        self.ssh1, self.ssh2, self.ssh3 = (_Context(width) for _ in STRIDES)
        self.ClassHead, self.BboxHead, self.LandmarkHead = (
            nn.ModuleList(_Head(width, numbers) for _ in STRIDES) for numbers in (2, 4, 10)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = [see(map) for see, map in zip((self.ssh1, self.ssh2, self.ssh3), self.fpn(self.body(x)), strict=True)]
        classes, boxes, points = (
            torch.cat([head(map) for head, map in zip(heads, maps, strict=True)], 1)
            for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)
        )
        return classes, boxes, points


def is_deep(state: Mapping[str, Tensor]) -> bool:
    """Whether weights are of the ResNet-50 one, by their keys."""
    return "body.conv1.weight" in state


def _normed(inside: int, outside: int, side: int = 3, stride: int = 1, *, groups: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inside, outside, side, stride, side // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(outside)]


def _leaking(width: int) -> nn.Module:
    """Narrow networks leak, wide ones do not."""
    return nn.LeakyReLU(0.1 if width <= 64 else 0.0)


class _Mobile(nn.Module):
    """(N, 3, H, W) -> maps of 64, 128 and 256 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        width = 8
        for number, blocks in enumerate(_MOBILE, 1):
            layers: list[nn.Module] = [] if number > 1 else [nn.Sequential(*_normed(3, 8, 3, 2), nn.LeakyReLU(0.1))]
            for outside, stride in blocks:
                deepwise = [*_normed(width, width, 3, stride, groups=width), nn.LeakyReLU(0.1)]
                layers.append(nn.Sequential(*deepwise, *_normed(width, outside, 1), nn.LeakyReLU(0.1)))
                width = outside
            self.add_module(f"stage{number}", nn.Sequential(*layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for number in range(1, len(_MOBILE) + 1):
            x = self.get_submodule(f"stage{number}")(x)
            maps.append(x)
        return maps


class _Deep(nn.Module):
    """(N, 3, H, W) -> maps of 512, 1024 and 2048 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        width = 64
        for number, (inside, count, stride) in enumerate(_DEEP, 1):
            blocks = [
                _Bottleneck(width if k == 0 else 4 * inside, inside, stride if k == 0 else 1) for k in range(count)
            ]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            width = 4 * inside

    def forward(self, x: Tensor) -> list[Tensor]:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        maps = []
        for number in range(1, len(_DEEP) + 1):
            x = self.get_submodule(f"layer{number}")(x)
            maps.append(x)
        return maps[1:]


class _Bottleneck(nn.Module):
    def __init__(self, outer: int, inside: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _normed(outer, inside, 1)
        self.conv2, self.bn2 = _normed(inside, inside, 3, stride)
        self.conv3, self.bn3 = _normed(inside, 4 * inside, 1)
        same = outer == 4 * inside and stride == 1
        self.downsample = None if same else nn.Sequential(*_normed(outer, 4 * inside, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        kept = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.relu(self.bn3(self.conv3(x)) + kept)


class _Pyramid(nn.Module):
    """What coarse maps know handed down to finer ones."""

    def __init__(self, inside: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (
            nn.Sequential(*_normed(channels, width, 1), _leaking(width)) for channels in inside
        )
        self.merge1, self.merge2 = (nn.Sequential(*_normed(width, width), _leaking(width)) for _ in range(2))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = self.output1(maps[0]), self.output2(maps[1]), self.output3(maps[2])
        middle = self.merge2(middle + F.interpolate(coarse, size=middle.shape[2:], mode="nearest"))
        fine = self.merge1(fine + F.interpolate(middle, size=fine.shape[2:], mode="nearest"))
        return [fine, middle, coarse]


class _Context(nn.Module):
    """What is seen in 3, 5 and 7 pixels around a place, beside one another (SSH, Najibi et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv3X3 = nn.Sequential(*_normed(width, width // 2))
        self.conv5X5_1 = nn.Sequential(*_normed(width, width // 4), _leaking(width))
        self.conv5X5_2 = nn.Sequential(*_normed(width // 4, width // 4))
        self.conv7X7_2 = nn.Sequential(*_normed(width // 4, width // 4), _leaking(width))
        self.conv7x7_3 = nn.Sequential(*_normed(width // 4, width // 4))

    def forward(self, x: Tensor) -> Tensor:
        wider = self.conv5X5_1(x)
        return F.relu(torch.cat([self.conv3X3(x), self.conv5X5_2(wider), self.conv7x7_3(self.conv7X7_2(wider))], 1))


class _Head(nn.Module):
    """(N, C, h, w) -> (N, 2 h w, numbers)."""

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(width, _ANCHORS * numbers, 1)
        self._numbers = numbers

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv1x1(x).permute(0, 2, 3, 1)
        return found.reshape(len(x), -1, self._numbers)
