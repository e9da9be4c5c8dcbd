"""S3FD, the face detector of Wav2Lip's own pipeline: class and box maps at six scales.

Layers and keys as in the sfd detector of 1adrianb/face-alignment, written anew from
Zhang et al. 2017, "S3FD: Single Shot Scale-invariant Face Detector".
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: Convolutions of each of VGG's five blocks: inside, outside, count.
_BLOCKS: Final = ((3, 64, 2), (64, 128, 2), (128, 256, 3), (256, 512, 3), (512, 512, 3))
#: Where faces are read from: the map, its channels, its stride in pixels.
_HEADS: Final = (
    ("conv3_3_norm", 256, 4),
    ("conv4_3_norm", 512, 8),
    ("conv5_3_norm", 512, 16),
    ("fc7", 1024, 32),
    ("conv6_2", 512, 64),
    ("conv7_2", 256, 128),
)
STRIDES: Final = tuple(stride for _, _, stride in _HEADS)


class _Scaled(nn.Module):
    """Each pixel's features at length 1, times a learnt weight a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        length = x.square().sum(1, keepdim=True).sqrt() + 1e-10
        return x / length * self.weight[:, None, None]


class S3FD(nn.Module):
    """Pictures (N, 3, H, W) less (104, 117, 123) by channel -> six maps of classes and boxes.

    Each is a pair of logits (N, 2, h, w) and boxes (N, 4, h, w).  fc6 pads by three: maps from
    stride 32 on hold more anchors than the picture.  Wav2Lip's own pipeline shows it RGB.
    Class 1 is a face; a box is (x, y, width, height) relative to its anchor, four strides wide.
    """

    def __init__(self) -> None:
        super().__init__()
        for block, (inside, outside, count) in enumerate(_BLOCKS, 1):
            for number in range(1, count + 1):
                self.add_module(
                    f"conv{block}_{number}", nn.Conv2d(inside if number == 1 else outside, outside, 3, 1, 1)
                )
        self.fc6 = nn.Conv2d(512, 1024, 3, 1, 3)
        self.fc7 = nn.Conv2d(1024, 1024, 1)
        self.conv6_1, self.conv6_2 = nn.Conv2d(1024, 256, 1), nn.Conv2d(256, 512, 3, 2, 1)
        self.conv7_1, self.conv7_2 = nn.Conv2d(512, 128, 1), nn.Conv2d(128, 256, 3, 2, 1)
        for name, channels, _ in _HEADS:
            if name.endswith("_norm"):
                self.add_module(name, _Scaled(channels))
            self.add_module(f"{name}_mbox_conf", nn.Conv2d(channels, 4 if name == "conv3_3_norm" else 2, 3, 1, 1))
            self.add_module(f"{name}_mbox_loc", nn.Conv2d(channels, 4, 3, 1, 1))

    def forward(self, x: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        return tuple(self._read(name, map) for (name, _, _), map in zip(_HEADS, self._maps(x), strict=True))

    def _maps(self, x: Tensor) -> list[Tensor]:
        """The six maps that faces are read from, finest first."""
        maps = []
        for block, (_, _, count) in enumerate(_BLOCKS, 1):
            x = self._through(x, *(f"conv{block}_{number}" for number in range(1, count + 1)))
            if block >= 3:
                maps.append(self.get_submodule(f"conv{block}_{count}_norm")(x))
            x = F.max_pool2d(x, 2)
        for names in (("fc6", "fc7"), ("conv6_1", "conv6_2"), ("conv7_1", "conv7_2")):
            x = self._through(x, *names)
            maps.append(x)
        return maps

    def _through(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            x = F.relu(self.get_submodule(name)(x))
        return x

    def _read(self, name: str, map: Tensor) -> tuple[Tensor, Tensor]:
        """The finest map has three opinions on what is no face; the strongest counts."""
        classes: Tensor = self.get_submodule(f"{name}_mbox_conf")(map)
        boxes: Tensor = self.get_submodule(f"{name}_mbox_loc")(map)
        if classes.shape[1] == 4:
            classes = torch.cat([classes[:, :3].amax(1, keepdim=True), classes[:, 3:]], 1)
        return classes, boxes
