"""GFPGAN in its clean form: a face of 512 pixels drawn anew, with the detail that such faces have.

Layers and keys as in TencentARC/GFPGAN gfpgan/archs/gfpganv1_clean_arch.py and stylegan2_clean_arch.py, written anew
from Wang et al. 2021, "Towards Real-World Blind Face Restoration with Generative Facial Prior".  A U-Net reads the
face and says, at every scale, how the features of a StyleGAN2 decoder are to be scaled and shifted.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

SIDE: Final = 512
#: Channels of the decoder at sides 4, 8, … 512; the U-Net has half of them.
_CHANNELS: Final = (512, 512, 512, 512, 512, 256, 128, 64)
#: Numbers of a style; the decoder takes one for each of its convolutions and colours.
_STYLE: Final = 512
_LEVELS: Final = len(_CHANNELS) - 1
_STYLES: Final = 2 * _LEVELS + 2
_SLOPE: Final = 0.2


class GFPGAN(nn.Module):
    """RGB (N, 3, 512, 512) in -1..1, eyes and mouth where FFHQ has them -> the same restored, not clamped.

    The noise is the checkpoint's own, not drawn anew: the same face always comes out the same.  `narrow` makes a
    network of fewer channels, for tests.
    """

    def __init__(self, narrow: float = 1.0) -> None:
        super().__init__()
        wide = [int(channels * narrow) for channels in _CHANNELS]
        half = [int(channels * narrow * 0.5) for channels in _CHANNELS]
        falling = half[::-1]
        self.conv_body_first = nn.Conv2d(3, falling[0], 1)
        self.conv_body_down = nn.ModuleList(_Residual(*pair, 0.5) for pair in pairwise(falling))
        self.final_conv = nn.Conv2d(half[0], half[0], 3, 1, 1)
        self.conv_body_up = nn.ModuleList(_Residual(*pair, 2.0) for pair in pairwise(half))
        self.toRGB = nn.ModuleList(nn.Conv2d(channels, 3, 1) for channels in half[1:])
        self.final_linear = nn.Linear(half[0] * 4 * 4, _STYLES * _STYLE)
        self.stylegan_decoder = _Decoder(wide)
        self.condition_scale = nn.ModuleList(_condition(channels) for channels in half[1:])
        self.condition_shift = nn.ModuleList(_condition(channels) for channels in half[1:])

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.conv_body_first(x), _SLOPE)
        seen = []
        for down in self.conv_body_down:
            x = down(x)
            seen.append(x)
        x = functional.leaky_relu(self.final_conv(x), _SLOPE)
        styles = self.final_linear(x.flatten(1)).unflatten(1, (_STYLES, _STYLE))
        moves = []
        for up, scale, shift in zip(self.conv_body_up, self.condition_scale, self.condition_shift, strict=True):
            x = up(x + seen.pop())
            moves.append((scale(x), shift(x)))
        drawn: Tensor = self.stylegan_decoder(styles, moves)
        return drawn


def gfpgan_of(state: Mapping[str, Tensor]) -> GFPGAN:
    """The network, empty, that weights are of, by how many channels they have; else the published one."""
    start = state.get("stylegan_decoder.constant_input.weight")
    return GFPGAN() if start is None or start.ndim != 4 else GFPGAN(start.shape[1] / _CHANNELS[0])


class _Residual(nn.Module):
    """Two convolutions at two scales, beside a shorter way."""

    def __init__(self, inside: int, outside: int, scale: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, inside, 3, 1, 1)
        self.conv2 = nn.Conv2d(inside, outside, 3, 1, 1)
        self.skip = nn.Conv2d(inside, outside, 1, bias=False)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        inner = _scaled(functional.leaky_relu(self.conv1(x), _SLOPE), self.scale)
        out: Tensor = functional.leaky_relu(self.conv2(inner), _SLOPE) + self.skip(_scaled(x, self.scale))
        return out


def _scaled(x: Tensor, scale: float) -> Tensor:
    return functional.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=False)


def _condition(channels: int) -> nn.Sequential:
    """What the U-Net says of half of the decoder's channels at one scale."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, 1, 1), nn.LeakyReLU(_SLOPE), nn.Conv2d(channels, channels, 3, 1, 1)
    )


class _Decoder(nn.Module):
    """StyleGAN2's generator; half of its features are moved as the U-Net says.

    `style_mlp` stands in checkpoints and is not used: the U-Net gives styles itself.
    """

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        layers = [[nn.Linear(_STYLE, _STYLE), nn.LeakyReLU(_SLOPE)] for _ in range(8)]
        self.style_mlp = nn.Sequential(nn.Identity(), *(layer for pair in layers for layer in pair))
        self.constant_input = _Start(channels[0])
        self.style_conv1 = _Styled(channels[0], channels[0])
        self.to_rgb1 = _Colours(channels[0])
        pairs = list(pairwise(channels))
        self.style_convs = nn.ModuleList(
            conv
            for inside, outside in pairs
            for conv in (_Styled(inside, outside, larger=True), _Styled(outside, outside))
        )
        self.to_rgbs = nn.ModuleList(_Colours(outside) for _, outside in pairs)
        self.noises = nn.Module()
        for number in range(2 * len(pairs) + 1):
            side = 4 << (number + 1) // 2
            self.noises.register_buffer(f"noise{number}", torch.zeros(1, 1, side, side))

    def forward(self, styles: Tensor, moves: list[tuple[Tensor, Tensor]]) -> Tensor:
        noises = list(self.noises.buffers())
        x = self.constant_input.weight.expand(len(styles), -1, -1, -1)
        x = self.style_conv1(x, styles[:, 0], noises[0])
        colours: Tensor = self.to_rgb1(x, styles[:, 1])
        for level, (scale, shift) in enumerate(moves):
            first, second, to_rgb = self.style_convs[2 * level], self.style_convs[2 * level + 1], self.to_rgbs[level]
            x = first(x, styles[:, 2 * level + 1], noises[2 * level + 1])
            same, moved = x.chunk(2, 1)
            x = torch.cat([same, moved * scale + shift], 1)
            x = second(x, styles[:, 2 * level + 2], noises[2 * level + 2])
            colours = to_rgb(x, styles[:, 2 * level + 3]) + _scaled(colours, 2.0)
        return colours


class _Start(nn.Module):
    """What every face begins with."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, channels, 4, 4))


class _Modulated(nn.Module):
    """A convolution whose inputs are weighted by a style, and (`levelled`) its outputs brought back to one power."""

    def __init__(self, inside: int, outside: int, side: int, *, levelled: bool) -> None:
        super().__init__()
        self.modulation = nn.Linear(_STYLE, inside)
        self.weight = nn.Parameter(torch.randn(1, outside, inside, side, side))
        self.levelled = levelled

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        count, inside, height, width = x.shape
        weight = self.weight * self.modulation(style).view(count, 1, inside, 1, 1)
        if self.levelled:
            weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
        outside, side = weight.shape[1], weight.shape[3]
        out = functional.conv2d(
            x.reshape(1, count * inside, height, width), weight.flatten(0, 1), padding=side // 2, groups=count
        )
        return out.view(count, outside, height, width)


class _Styled(nn.Module):
    """A modulated convolution, noise, and an activation."""

    def __init__(self, inside: int, outside: int, *, larger: bool = False) -> None:
        super().__init__()
        self.modulated_conv = _Modulated(inside, outside, 3, levelled=True)
        self.weight = nn.Parameter(torch.zeros(1))
        self.bias = nn.Parameter(torch.zeros(1, outside, 1, 1))
        self.larger = larger

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        x = self.modulated_conv(_scaled(x, 2.0) if self.larger else x, style)
        return functional.leaky_relu(x * 2**0.5 + self.weight * noise + self.bias, _SLOPE)


class _Colours(nn.Module):
    """Features as colours."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.modulated_conv = _Modulated(inside, 3, 1, levelled=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        out: Tensor = self.modulated_conv(x, style) + self.bias
        return out
