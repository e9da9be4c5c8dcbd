"""The generators that are known, as data: how large a face they draw, and how they want it shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from tasks.nets.wav2lip import SIDE, Wav2Lip, Wav2LipFamily
from tasks.nets.wav2lip_larger import Wav2Lip288, Wav2Lip384


@dataclass(frozen=True)
class Kind:
    """One network of the family."""

    side: int
    "of the faces it sees and draws, a multiple of 96"
    build: type[Wav2LipFamily]
    told_by: str = ""
    "a key that no other has; empty: it is taken where none is told"
    centred: bool = False
    "pictures are -1..1, black -1, not 0..1"
    rim: int = 0
    "pixels at the left, right and lower edge of the hidden half that it sees"

    @property
    def black(self) -> float:
        return -1.0 if self.centred else 0.0


KINDS: Final = (
    Kind(384, Wav2Lip384, "audio_refine.0.conv_block.0.weight", centred=True, rim=8),
    Kind(288, Wav2Lip288, "face_encoder_blocks.0.0.act.weight"),
    Kind(SIDE, Wav2Lip),
)


def kind_of(state: Mapping[str, Tensor]) -> Kind:
    """The network that weights are of, by their keys; the plain one where they are of none."""
    return next(kind for kind in KINDS if not kind.told_by or kind.told_by in state)


def shown_pairs(kind: Kind, faces: Tensor) -> Tensor:
    """(N, 6, side, side) BGR as a network wants them, of faces (N, 3, side, side) RGB in 0..1."""
    seen = faces.clamp(0, 1).flip(1)
    seen = seen * 2 - 1 if kind.centred else seen
    hidden, end = seen.clone(), kind.side - kind.rim
    hidden[:, :, kind.side // 2 : end, kind.rim : end] = kind.black
    return torch.cat([hidden, seen], 1)


def drawn_faces(kind: Kind, drawn: Tensor) -> Tensor:
    """RGB in 0..1 of what a network drew."""
    return (drawn * 0.5 + 0.5 if kind.centred else drawn).flip(1)
