"""BiSeNet on ResNet-18, which tells the parts of a face: skin, lips, nose, hair, cloth and fourteen more.

Layers and keys as in zllrunning/face-parsing.PyTorch model.py, whose checkpoint others pass on, written anew from
Yu et al. 2018, "BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation", with the backbone's
features in place of the spatial path; ResNet-18 as in He et al. 2016 under torchvision's keys.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: The side of the faces that it is trained on, and what it sees them less and over (ImageNet's, RGB).
SIDE: Final = 512
MEAN: Final = (0.485, 0.456, 0.406)
SPREAD: Final = (0.229, 0.224, 0.225)
#: Classes, in CelebAMask-HQ's order.
CLASSES: Final = (
    *("background", "skin", "left brow", "right brow", "left eye", "right eye", "glasses", "left ear", "right ear"),
    *("earring", "nose", "mouth", "upper lip", "lower lip", "neck", "necklace", "cloth", "hair", "hat"),
)
#: Channels of ResNet-18's four stages.
_STAGES: Final = (64, 128, 256, 512)
_WIDTH: Final = 128


class BiSeNet(nn.Module):
    """Faces (N, 3, H, W), normalised, sides multiples of 32 -> scores (N, 19, H / 8, W / 8) of the classes.

    Upstream enlarges the scores to the picture, corners on corners.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cp = _Context()
        self.ffm = _Fusion(2 * _WIDTH)
        self.conv_out = _Scores(2 * _WIDTH, 2 * _WIDTH)
        self.conv_out16, self.conv_out32 = (_Scores(_WIDTH, 64) for _ in range(2))  # of training alone

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.conv_out(self.ffm(torch.cat(self.cp(x), 1)))
        return scores


class _Convolution(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, inside: int, outside: int, side: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, side, 1, side // 2, bias=False)
        self.bn = nn.BatchNorm2d(outside)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class _Scores(nn.Module):
    def __init__(self, inside: int, width: int) -> None:
        super().__init__()
        self.conv = _Convolution(inside, width)
        self.conv_out = nn.Conv2d(width, len(CLASSES), 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.conv_out(self.conv(x))
        return scores


class _Attention(nn.Module):
    """Features weighted channel by channel by their mean over the picture."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.conv = _Convolution(inside, _WIDTH)
        self.conv_atten = nn.Conv2d(_WIDTH, _WIDTH, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(_WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.conv(x)
        weights: Tensor = self.bn_atten(self.conv_atten(_mean(features)))
        return features * weights.sigmoid()


class _Context(nn.Module):
    """What is near and what is around: features at stride 8, of the backbone and brought there from 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = _ResNet()
        self.arm16, self.arm32 = _Attention(_STAGES[2]), _Attention(_STAGES[3])
        self.conv_head32, self.conv_head16 = (_Convolution(_WIDTH, _WIDTH) for _ in range(2))
        self.conv_avg = _Convolution(_STAGES[3], _WIDTH, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        near, middle, far = self.resnet(x)
        whole: Tensor = self.conv_avg(_mean(far))
        coarse: Tensor = self.conv_head32(_enlarged(self.arm32(far) + whole, middle))
        fine: Tensor = self.conv_head16(_enlarged(self.arm16(middle) + coarse, near))
        return near, fine


class _Fusion(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.convblk = _Convolution(width, width, 1)
        self.conv1 = nn.Conv2d(width, width // 4, 1, bias=False)
        self.conv2 = nn.Conv2d(width // 4, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.convblk(x)
        weights: Tensor = self.conv2(F.relu(self.conv1(_mean(features))))
        return features * weights.sigmoid() + features


class _ResNet(nn.Module):
    """Features at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        pairs = zip((64, *_STAGES), _STAGES, (1, 2, 2, 2), strict=False)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(_Block(inside, outside, stride), _Block(outside, outside, 1))
            for inside, outside, stride in pairs
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        near: Tensor = self.layer2(self.layer1(first))
        middle: Tensor = self.layer3(near)
        return near, middle, self.layer4(middle)


class _Block(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        same = stride == 1 and inside == outside
        shorter = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))
        self.downsample: nn.Module | None = None if same else shorter

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


def _mean(x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 1)


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[-2:], mode="nearest")
