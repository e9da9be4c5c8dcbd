"""Descendants of Wav2Lip that draw larger faces: 288 and 384 pixels.

Layers and keys as in primepake/wav2lip_288x288 models/wav2lipv2.py and conv2.py, and nghiakvnvsd/wav2lip384
models/wav2lip.py and conv.py, written anew.  No reference output and no published hash of a checkpoint is at hand.
Networks of 192 and 256 pixels are spoken of in public, under several layouts and none that files could be told by.
"""

from functools import partial
from typing import Final

from torch import Tensor, nn

from tasks.nets.convolution import Convolution, enlarged, mel_encoder, stage
from tasks.nets.wav2lip import Wav2LipFamily

_LEAKY: Final = partial(nn.LeakyReLU, 0.2)


class Wav2Lip288(Wav2LipFamily):
    """Mel (N, 1, 80, 16) and BGR pairs (N, 6, 288, 288) in 0..1 -> BGR (N, 3, 288, 288) in 0..1; each slope is learnt.

    The first three channels of a pair have rows 144 and below at 0.
    """

    def __init__(self) -> None:
        super().__init__()
        act = nn.PReLU
        self.face_encoder_blocks = nn.ModuleList(
            nn.Sequential(*layers)
            for layers in (
                stage(6, 16, 1, 0, side=7, pad=3, act=act),
                stage(16, 32, 2, 1, side=5, pad=2, act=act),  # -> (N, 32, 144, 144)
                stage(32, 32, 2, 2, act=act),
                stage(32, 64, 2, 3, act=act),
                stage(64, 128, 2, 2, act=act),
                stage(128, 256, 2, 2, act=act),  # -> (N, 256, 9, 9)
                stage(256, 512, 2, 1, act=act),  # -> (N, 512, 5, 5)
                [Convolution(512, 512, 3, act=act), Convolution(512, 512, 1, act=act)],  # -> (N, 512, 3, 3)
                [Convolution(512, 512, 3, act=act), Convolution(512, 512, 1, act=act)],  # -> (N, 512, 1, 1)
            )
        )
        self.audio_encoder = mel_encoder(residuals=1, act=act)
        self.face_decoder_blocks = nn.ModuleList(
            nn.Sequential(*layers)
            for layers in (
                [Convolution(512, 512, 1, act=act)],
                enlarged(1024, 512, 1, stride=1, pad=0, output_pad=0, act=act),  # -> (N, 512, 3, 3)
                enlarged(1024, 512, 2, output_pad=0, act=act),  # -> (N, 512, 5, 5)
                enlarged(1024, 512, 2, output_pad=0, act=act),  # -> (N, 512, 9, 9)
                enlarged(768, 384, 2, act=act),
                enlarged(512, 256, 2, act=act),
                enlarged(320, 128, 2, act=act),
                enlarged(160, 64, 2, act=act),
                enlarged(96, 64, 2, act=act),  # -> (N, 64, 288, 288)
            )
        )
        self.output_block = nn.Sequential(Convolution(80, 32, 3, 1, 1, act=act), nn.Conv2d(32, 3, 1), nn.Sigmoid())


class Wav2Lip384(Wav2LipFamily):
    """Mel (N, 1, 80, 16) and BGR pairs (N, 6, 384, 384) in -1..1 -> BGR (N, 3, 384, 384) in -1..1.

    The first three channels of a pair are -1 in rows 192 to 376 of columns 8 to 376: a rim of 8 pixels is seen.
    """

    def __init__(self) -> None:
        super().__init__()
        act = _LEAKY
        self.face_encoder_blocks = nn.ModuleList(
            nn.Sequential(*layers)
            for layers in (
                stage(6, 8, 1, 0, side=7, pad=3, act=act),
                stage(8, 16, 2, 2, act=act),  # -> (N, 16, 192, 192)
                stage(16, 32, 2, 2, act=act),
                stage(32, 64, 2, 3, act=act),
                stage(64, 128, 2, 2, act=act),
                stage(128, 256, 2, 2, act=act),
                stage(256, 512, 2, 2, act=act),  # -> (N, 512, 6, 6)
                stage(512, 1024, 2, 2, act=act),
                [Convolution(1024, 1024, 3, act=act), Convolution(1024, 1024, 1, act=act)],  # -> (N, 1024, 1, 1)
            )
        )
        self.audio_encoder = nn.Sequential(
            *stage(1, 32, 1, 2, act=act),
            *stage(32, 64, (3, 1), 2, act=act),
            *stage(64, 128, 3, 2, act=act),
            *stage(128, 256, (3, 2), 2, act=act),
            *stage(256, 512, 1, 2, act=act),
            Convolution(512, 1024, 3),
            Convolution(1024, 1024, 1),
        )
        self.audio_refine = nn.Sequential(*(Convolution(1024, 1024, 1, act=act) for _ in range(2)))
        self.face_decoder_blocks = nn.ModuleList(
            nn.Sequential(*layers)
            for layers in (
                [Convolution(1024, 1024, 1, act=act)],
                enlarged(2048, 1024, 1, stride=1, pad=0, output_pad=0, act=act),  # -> (N, 1024, 3, 3)
                enlarged(2048, 1024, 2, act=act),
                enlarged(1536, 768, 2, act=act),
                enlarged(1024, 512, 2, act=act),
                enlarged(640, 256, 2, act=act),
                enlarged(320, 128, 2, act=act),
                enlarged(160, 64, 2, act=act),
                enlarged(80, 32, 2, act=act),  # -> (N, 32, 384, 384)
            )
        )
        self.output_block = nn.Sequential(Convolution(40, 16, 3, 1, 1, act=act), nn.Conv2d(16, 3, 1), nn.Tanh())

    def heard(self, mel: Tensor) -> Tensor:
        sound: Tensor = self.audio_refine(self.audio_encoder(mel))
        return sound
