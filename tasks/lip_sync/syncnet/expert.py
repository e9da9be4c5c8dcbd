"""SyncNet in memory: mouths and sounds as directions, in batches of one shape, so that none depends on its company."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.checkpoint import load
from tasks.nets.syncnet import SyncNet
from tasks.weights import Weights

_BATCH: Final = 8

Array = NDArray[np.float32]


class Expert(Protocol):
    """What hears and sees; SyncNet, or a test's own."""

    name: str
    "As the report says it."

    def faces(self, mouths: NDArray[np.uint8]) -> Array:
        """(N, D) directions of length 1 for five lower halves each, (N, 5, 48, 96, 3) RGB."""
        ...

    def sounds(self, mel: Array) -> Array:
        """(N, D) directions of length 1 for 200 ms of sound each, (N, 80, 16) mel."""
        ...


class SyncNetExpert:
    """The network of a checkpoint, on the CPU: it looks at a few seconds of a video."""

    def __init__(self, weights: Weights) -> None:
        """The network, loaded.

        Raises:
            WeightsError: the file is missing or of another network.
        """
        self.name = f"SyncNet ({weights.file})"
        self._network = load(SyncNet(), Path(weights.path), key=weights.key)

    def faces(self, mouths: NDArray[np.uint8]) -> Array:
        bgr = np.ascontiguousarray(mouths[..., ::-1].transpose(0, 1, 4, 2, 3))  # (N, 5, 3, 48, 96)
        seen = torch.from_numpy(bgr.reshape(len(bgr), 15, *bgr.shape[-2:]).astype(np.float32) / 255)
        return _in_batches(lambda x: torch.nn.functional.normalize(self._network.face_encoder(x).flatten(1)), seen)

    def sounds(self, mel: Array) -> Array:
        heard = torch.from_numpy(np.ascontiguousarray(mel, np.float32))[:, None]
        return _in_batches(lambda x: torch.nn.functional.normalize(self._network.audio_encoder(x).flatten(1)), heard)


@torch.inference_mode()
def _in_batches(network: Callable[[Tensor], Tensor], shown: Tensor) -> Array:
    found = []
    for at in range(0, len(shown), _BATCH):
        batch = torch.zeros((_BATCH, *shown.shape[1:]))
        count = min(_BATCH, len(shown) - at)
        batch[:count] = shown[at : at + count]
        found.append(network(batch)[:count].numpy())
    return np.concatenate(found) if found else np.zeros((0, 512), np.float32)


def open_expert(weights: Weights | None) -> Expert | None:
    """The network of some weights where they are on this node, None where none are.

    Raises:
        WeightsError: the file is of another network.
    """
    return SyncNetExpert(weights) if weights is not None and weights.path else None
