"""The convolution that Wav2Lip and SyncNet are built of, under the keys their checkpoints use."""

from collections.abc import Callable

from torch import Tensor, nn

Sides = int | tuple[int, int]
Activation = Callable[[], nn.Module]


class Convolution(nn.Module):
    """Convolution, normalisation, activation (ReLU); `residual` adds the input before the activation.

    Keys `conv_block.0` and `conv_block.1` as in Rudrabha/Wav2Lip models/conv.py.
    """

    def __init__(
        self,
        inside: int,
        outside: int,
        side: int,
        stride: Sides = 1,
        pad: int = 0,
        *,
        residual: bool = False,
        act: Activation = nn.ReLU,
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(inside, outside, side, stride, pad), nn.BatchNorm2d(outside))
        self.act = act()
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        sums: Tensor = self.conv_block(x)
        out: Tensor = self.act(sums + x if self.residual else sums)
        return out


class Enlarging(nn.Module):
    """Transposed convolution, normalisation, activation (ReLU)."""

    def __init__(
        self, inside: int, outside: int, *, stride: int, pad: int, output_pad: int, act: Activation = nn.ReLU
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ConvTranspose2d(inside, outside, 3, stride, pad, output_pad), nn.BatchNorm2d(outside)
        )
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.conv_block(x))
        return out


def stage(
    inside: int,
    outside: int,
    stride: Sides,
    residuals: int,
    *,
    side: int = 3,
    pad: int = 1,
    act: Activation = nn.ReLU,
) -> list[nn.Module]:
    """One convolution that changes the shape and `residuals` that keep it."""
    kept = (Convolution(outside, outside, 3, 1, 1, residual=True, act=act) for _ in range(residuals))
    return [Convolution(inside, outside, side, stride, pad, act=act), *kept]


def enlarged(
    inside: int,
    outside: int,
    residuals: int,
    *,
    stride: int = 2,
    pad: int = 1,
    output_pad: int = 1,
    act: Activation = nn.ReLU,
) -> list[nn.Module]:
    """A transposed convolution, doubling the side by itself, and `residuals` that keep it."""
    kept = (Convolution(outside, outside, 3, 1, 1, residual=True, act=act) for _ in range(residuals))
    return [Enlarging(inside, outside, stride=stride, pad=pad, output_pad=output_pad, act=act), *kept]


def mel_encoder(*, residuals: int, act: Activation = nn.ReLU) -> nn.Sequential:
    """(N, 1, 80, 16) mel -> (N, 512, 1, 1); Wav2Lip has 1 residual in its fourth stage, SyncNet 2."""
    return nn.Sequential(
        *stage(1, 32, 1, 2, act=act),
        *stage(32, 64, (3, 1), 2, act=act),
        *stage(64, 128, 3, 2, act=act),
        *stage(128, 256, (3, 2), residuals, act=act),
        Convolution(256, 512, 3, act=act),
        Convolution(512, 512, 1, act=act),
    )
