"""Experts to test with: one that needs no network and knows how bright a mouth is and how loud a sound, and SyncNet.

There is no trained SyncNet to test with.  The planted expert proves that what is around the network finds an offset
and tells its sign; random weights prove that all is connected.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.mel import COLUMNS_PER_SECOND
from tasks.nets.syncnet import SyncNet
from tasks.weights import Weights
from tests.tasks.recipe import shapes, weights

RATE = 25


class Planted:
    """A mouth as bright as a sound is loud goes with it: both are the angle of a direction."""

    name = "planted"

    def faces(self, mouths: NDArray[np.uint8]) -> NDArray[np.float32]:
        return _directions(mouths.astype(np.float64).mean((1, 2, 3, 4)) / 255)

    def sounds(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        return _directions((mel.astype(np.float64).mean((1, 2)) + 4) / 8)


def _directions(shares: NDArray[np.float64]) -> NDArray[np.float32]:
    angles = np.pi / 2 * shares
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


def loudness(seconds: float, seed: int = 0) -> NDArray[np.float64]:
    """A curve between 0 and 1 that never repeats, 80 values a second."""
    noise = np.random.default_rng(seed).standard_normal(int(seconds * COLUMNS_PER_SECOND) + 40)
    smooth = np.convolve(noise, np.hanning(13) / np.hanning(13).sum(), "same")
    return np.asarray(np.clip(0.5 + 0.35 * smooth, 0, 1))


def heard(curve: NDArray[np.float64]) -> NDArray[np.float32]:
    """(80, T) mel as loud as the curve."""
    return np.asarray(np.repeat(8 * curve[None] - 4, 80, 0), np.float32)


def brightness(curve: NDArray[np.float64], seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """How bright frames shown at `seconds` must be to go with the curve: its mean while each is shown."""
    sums = np.concatenate([[0.0], np.cumsum(curve)])
    low, high = (np.clip((seconds + k / RATE) * COLUMNS_PER_SECOND, 0, len(curve)) for k in (0, 1))
    at = np.arange(len(sums))
    return np.asarray((np.interp(high, at, sums) - np.interp(low, at, sums)) / np.maximum(high - low, 1e-9))


def mouths(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(n, 48, 96, 3) as bright as said."""
    return np.broadcast_to(np.rint(values * 255)[:, None, None, None], (len(values), 48, 96, 3)).astype(np.uint8)


def random_weights(path: Path) -> Weights:
    """The weights of the reference vectors, as upstream keeps them."""
    state = {f"module.{key}": value for key, value in weights(shapes(SyncNet())).items()}
    torch.save({"state_dict": state}, path)
    return Weights("sync_model", str(path), "syncnet-color", "0" * 64, path.name, path=str(path))
