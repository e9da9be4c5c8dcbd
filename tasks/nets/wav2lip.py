"""Wav2Lip at 96 pixels, plain and GAN: a face with its mouth hidden, another of the same person, and sound.

Layers and keys as in Rudrabha/Wav2Lip models/wav2lip.py (commit 5c90fa9), written anew.
"""

from typing import Final

import torch
from torch import Tensor, nn

from tasks.nets.convolution import Convolution, Enlarging, mel_encoder, stage

SIDE: Final = 96
#: Mel columns that one picture hears, at 80 a second.
COLUMNS: Final = 16


class Wav2Lip(nn.Module):
    """Mel (N, 1, 80, 16) in -4..4 and BGR pairs (N, 6, 96, 96) in 0..1 -> BGR (N, 3, 96, 96) in 0..1.

    The first three channels of a pair have rows 48 and below at 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder_blocks = nn.ModuleList(
            nn.Sequential(*layers)
            for layers in (
                stage(6, 16, 1, 0, side=7, pad=3),  # (N, 6, 96, 96) -> (N, 16, 96, 96)
                stage(16, 32, 2, 2),  # -> (N, 32, 48, 48)
                stage(32, 64, 2, 3),  # -> (N, 64, 24, 24)
                stage(64, 128, 2, 2),  # -> (N, 128, 12, 12)
                stage(128, 256, 2, 2),  # -> (N, 256, 6, 6)
                stage(256, 512, 2, 1),  # -> (N, 512, 3, 3)
                [Convolution(512, 512, 3), Convolution(512, 512, 1)],  # -> (N, 512, 1, 1)
            )
        )
        self.audio_encoder = mel_encoder(residuals=1)
        self.face_decoder_blocks = nn.ModuleList(
            nn.Sequential(*layers)
            for layers in (
                [Convolution(512, 512, 1)],
                _enlarged(1024, 512, 1, stride=1, pad=0, output_pad=0),  # -> (N, 512, 3, 3)
                _enlarged(1024, 512, 2),
                _enlarged(768, 384, 2),
                _enlarged(512, 256, 2),
                _enlarged(320, 128, 2),
                _enlarged(160, 64, 2),  # -> (N, 64, 96, 96)
            )
        )
        self.output_block = nn.Sequential(Convolution(80, 32, 3, 1, 1), nn.Conv2d(32, 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, pairs: Tensor) -> Tensor:
        seen = []
        for encode in self.face_encoder_blocks:
            pairs = encode(pairs)
            seen.append(pairs)
        x = self.audio_encoder(mel)
        for decode in self.face_decoder_blocks:
            x = torch.cat([decode(x), seen.pop()], 1)
        drawn: Tensor = self.output_block(x)  # (N, 80, 96, 96) -> (N, 3, 96, 96)
        return drawn


def _enlarged(
    inside: int, outside: int, residuals: int, *, stride: int = 2, pad: int = 1, output_pad: int = 1
) -> list[nn.Module]:
    """A transposed convolution, doubling the side by itself, and `residuals` that keep it."""
    kept = (Convolution(outside, outside, 3, 1, 1, residual=True) for _ in range(residuals))
    return [Enlarging(inside, outside, stride=stride, pad=pad, output_pad=output_pad), *kept]
