"""Wav2Lip at 96 pixels, plain and GAN: a face with its mouth hidden, another of the same person, and sound.

Layers and keys as in Rudrabha/Wav2Lip models/wav2lip.py (commit 5c90fa9), written anew.
"""

from typing import Final

import torch
from torch import Tensor, nn

from tasks.nets.convolution import Convolution, enlarged, mel_encoder, stage

SIDE: Final = 96
#: Mel columns that one picture hears, at 80 a second.
COLUMNS: Final = 16


class Wav2LipFamily(nn.Module):
    """What all of them do with their layers: a pair coded step by step, and drawn from the sound back through them."""

    face_encoder_blocks: nn.ModuleList
    audio_encoder: nn.Sequential
    face_decoder_blocks: nn.ModuleList
    output_block: nn.Sequential

    def heard(self, mel: Tensor) -> Tensor:
        """(N, C, 1, 1) of mel (N, 1, 80, 16)."""
        sound: Tensor = self.audio_encoder(mel)
        return sound

    def forward(self, mel: Tensor, pairs: Tensor) -> Tensor:
        seen = []
        for encode in self.face_encoder_blocks:
            pairs = encode(pairs)
            seen.append(pairs)
        x = self.heard(mel)
        for decode in self.face_decoder_blocks:
            x = torch.cat([decode(x), seen.pop()], 1)
        drawn: Tensor = self.output_block(x)
        return drawn


class Wav2Lip(Wav2LipFamily):
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
                enlarged(1024, 512, 1, stride=1, pad=0, output_pad=0),  # -> (N, 512, 3, 3)
                enlarged(1024, 512, 2),
                enlarged(768, 384, 2),
                enlarged(512, 256, 2),
                enlarged(320, 128, 2),
                enlarged(160, 64, 2),  # -> (N, 64, 96, 96)
            )
        )
        self.output_block = nn.Sequential(Convolution(80, 32, 3, 1, 1), nn.Conv2d(32, 3, 1), nn.Sigmoid())
