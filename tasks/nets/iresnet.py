"""The residual network of ArcFace: an aligned face becomes a direction that tells people apart.

Keys as in deepinsight/insightface recognition/arcface_torch/backbones/iresnet.py.
"""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

SIDE: Final = 112
DIRECTIONS: Final = 512
#: Residual blocks of the four stages, by the name that checkpoints go by.
STAGES: Final = {"r18": (2, 2, 2, 2), "r34": (3, 4, 6, 3), "r50": (3, 4, 14, 3), "r100": (3, 13, 30, 3)}
_WIDTHS: Final = (64, 128, 256, 512)


class Block(nn.Module):
    """Two convolutions with what was before them added."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.prelu = nn.PReLU(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
            if stride != 1 or inside != outside
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        kept: Tensor = x if self.downsample is None else self.downsample(x)
        out: Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return out + kept


class IResNet(nn.Module):
    """(N, 3, 112, 112) RGB in -1..1, eyes and mouth where ArcFace has them -> (N, 512), not normalised."""

    def __init__(self, stages: Sequence[int] = STAGES["r50"]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = nn.PReLU(64)
        inside = 64
        for number, (blocks, width) in enumerate(zip(stages, _WIDTHS, strict=True), 1):
            rest = (Block(width, width, 1) for _ in range(blocks - 1))
            self.add_module(f"layer{number}", nn.Sequential(Block(inside, width, 2), *rest))
            inside = width
        self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * 7 * 7, DIRECTIONS)
        self.features = nn.BatchNorm1d(DIRECTIONS)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        out: Tensor = self.features(self.fc(torch.flatten(self.bn2(x), 1)))
        return out


def stages_of(state: "dict[str, Tensor]") -> tuple[int, int, int, int]:
    """How many blocks each stage of a checkpoint has, read off its keys."""

    def blocks(stage: int) -> int:
        numbers = (name.split(".")[1] for name in state if name.startswith(f"layer{stage}."))
        return 1 + max((int(number) for number in numbers if number.isdecimal()), default=0)

    return blocks(1), blocks(2), blocks(3), blocks(4)
