"""MediaPipe's FaceMesh: 468 points of a face and how sure it is that there is one.

Layers and keys as in the converted checkpoint of thepowerfuldeez/facemesh.pytorch (Apache-2.0).
"""

from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

SIDE: Final = 192
VERTICES: Final = 468


class _Block(nn.Module):
    """Depthwise 3x3, pointwise, and a shortcut that pools and pads channels where the shape changes."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.added = stride, outside - inside
        self.convs = nn.Sequential(
            nn.Conv2d(inside, inside, 3, stride, 0 if stride == 2 else 1, groups=inside),
            nn.Conv2d(inside, outside, 1),
        )
        self.act = nn.PReLU(outside)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        if self.stride == 2:
            h = F.pad(x, (0, 2, 0, 2))  # TFLite's "same" padding lies to the right and below
            x = F.max_pool2d(x, 2)
        if self.added:
            x = F.pad(x, (0, 0, 0, 0, 0, self.added))
        out: Tensor = self.act(self.convs(h) + x)
        return out


class FaceMesh(nn.Module):
    """(N, 3, 192, 192) RGB in -1..1 -> mesh (N, 468, 3) in crop pixels, confidence logit (N,)."""

    def __init__(self) -> None:
        super().__init__()
        stages = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
        stages += [(64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 1), (128, 128, 2)]
        stages += [(128, 128, 1), (128, 128, 1)]
        self.backbone = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.PReLU(16), *(_Block(*s) for s in stages))
        self.coord_head = nn.Sequential(
            *(_Block(128, 128, 2), _Block(128, 128), _Block(128, 128), nn.Conv2d(128, 32, 1), nn.PReLU(32)),
            *(_Block(32, 32), nn.Conv2d(32, 3 * VERTICES, 3)),
        )
        self.conf_head = nn.Sequential(
            *(_Block(128, 128, 2), nn.Conv2d(128, 32, 1), nn.PReLU(32), _Block(32, 32), nn.Conv2d(32, 1, 3)),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.backbone(F.pad(x, (1, 0, 1, 0), mode="reflect"))
        return self.coord_head(x).reshape(-1, VERTICES, 3), self.conf_head(x).reshape(-1)
