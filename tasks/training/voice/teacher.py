"""FaceMesh as the teacher of mouths: a face crop becomes 468 points; knows nothing of video.

The layout follows MediaPipe's FaceMesh as converted in thepowerfuldeez/facemesh.pytorch
(Apache-2.0); only the checkpoint's keys and shapes were used to write it.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SIZE = 192


class Block(nn.Module):
    """Depthwise 3x3, pointwise, and the input added; stride 2 halves the picture."""

    def __init__(self, channels: int, out: int | None = None, *, stride: int = 1) -> None:
        super().__init__()
        out = out or channels
        self.stride, self.extra = stride, out - channels
        depthwise = nn.Conv2d(channels, channels, 3, stride, 0 if stride == 2 else 1, groups=channels)
        self.convs = nn.Sequential(depthwise, nn.Conv2d(channels, out, 1))
        self.act = nn.PReLU(out)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 2, 0, 2)) if self.stride == 2 else x
        short = F.max_pool2d(x, 2) if self.stride == 2 else x
        short = F.pad(short, (0, 0, 0, 0, 0, self.extra))
        activated: Tensor = self.act(self.convs(padded) + short)
        return activated


class FaceMesh(nn.Module):
    """(N, 3, 192, 192) RGB in -1..1 -> points (N, 468, 2) in crop pixels, presence logit (N,)."""

    def __init__(self) -> None:
        super().__init__()
        widths: tuple[tuple[int, int], ...] = (
            (16, 16),
            (16, 16),
            (16, 32),
            (32, 32),
            (32, 32),
            (32, 64),
            (64, 64),
        )
        widths += ((64, 64), (64, 128), (128, 128), (128, 128), (128, 128), (128, 128), (128, 128))
        halving = (2, 5, 8, 11)
        blocks = [Block(a, b, stride=2 if i in halving else 1) for i, (a, b) in enumerate(widths)]
        self.backbone = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.PReLU(16), *blocks)
        self.coord_head = nn.Sequential(
            *(Block(128, stride=2), Block(128), Block(128)),
            *(nn.Conv2d(128, 32, 1), nn.PReLU(32), Block(32), nn.Conv2d(32, 1404, 3)),
        )
        self.conf_head = nn.Sequential(
            *(Block(128, stride=2), nn.Conv2d(128, 32, 1), nn.PReLU(32)),
            *(Block(32), nn.Conv2d(32, 1, 3)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.backbone(F.pad(x, (0, 1, 0, 1)))
        points = self.coord_head(features).reshape(-1, 468, 3)[..., :2]
        return points, self.conf_head(features).reshape(-1)


def load_teacher(path: Path) -> FaceMesh:
    """The teacher in evaluation mode with the weights of `path`."""
    teacher = FaceMesh()
    teacher.load_state_dict(torch.load(path, weights_only=True))
    return teacher.eval()
