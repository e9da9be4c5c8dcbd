"""The generator in memory: pairs of faces and sound in batches of one shape, so that bits never depend on company."""

from pathlib import Path
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor

from tasks.checkpoint import load
from tasks.errors import WeightsError
from tasks.nets.wav2lip import SIDE, Wav2Lip
from tasks.weights import Weights

#: Faces in one run of the network: more gain nothing on a CPU and waste more where a batch is short.
BATCH: Final = {"cpu": 4, "cuda": 32}


class Generator:
    """The network of a checkpoint on one device."""

    def __init__(self, weights: Weights, device: str) -> None:
        """The network, loaded.

        Raises:
            WeightsError: the file is missing or of another network.
        """
        if not weights.path:
            raise WeightsError(f"{weights.name}: is not on this node; run `reelyard models fetch {weights.name}`")
        self._device = torch.device(device)
        self.batch = BATCH[self._device.type]
        network = load(Wav2Lip(), Path(weights.path), key=weights.key)
        self._network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def draw(self, mel: Tensor, faces: Tensor) -> Tensor:
        """RGB (N, 3, 96, 96) in 0..1 of the faces (N, 3, 96, 96) with mouths as mel (N, 1, 80, 16) asks."""
        seen = faces.clamp(0, 1).flip(1)  # the network sees BGR
        hidden = seen.clone()
        hidden[:, :, SIDE // 2 :] = 0
        pairs = torch.cat([hidden, seen], 1)  # (N, 6, 96, 96)
        drawn = [
            self._run(mel[at : at + self.batch], pairs[at : at + self.batch]) for at in range(0, len(mel), self.batch)
        ]
        return torch.cat(drawn).flip(1)

    def _run(self, mel: Tensor, pairs: Tensor) -> Tensor:
        short = self.batch - len(mel)
        if short:
            mel, pairs = (functional.pad(x, (0, 0, 0, 0, 0, 0, 0, short)) for x in (mel, pairs))
        drawn: Tensor = self._network(mel, pairs.contiguous(memory_format=torch.channels_last))
        return drawn[: self.batch - short].float()
