"""SyncNet in colour: mouths and sound as directions that agree where they belong together.

Layers and keys as in Rudrabha/Wav2Lip models/syncnet.py, written anew.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from tasks.nets.convolution import Convolution, mel_encoder, stage


class SyncNet(nn.Module):
    """Mel (N, 1, 80, 16) and five lower halves in BGR (N, 15, 48, 96) -> sound, face (N, 512), of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.face_encoder = nn.Sequential(
            Convolution(15, 32, 7, 1, 3),
            *stage(32, 64, (1, 2), 2, side=5),  # (N, 32, 48, 96) -> (N, 64, 46, 47)
            *stage(64, 128, 2, 3),
            *stage(128, 256, 2, 2),
            *stage(256, 512, 2, 2),
            Convolution(512, 512, 3, 2, 1),
            Convolution(512, 512, 3),
            Convolution(512, 512, 1),
        )
        self.audio_encoder = mel_encoder(residuals=2)

    def forward(self, mel: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        sound, face = self.audio_encoder(mel).flatten(1), self.face_encoder(faces).flatten(1)
        return F.normalize(sound), F.normalize(face)
