"""Weights and inputs made from a key and a shape alone, as the reference vectors were: no file needed."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def shapes(network: nn.Module) -> dict[str, list[int]]:
    """Keys of a network and their shapes, in its order."""
    return {key: list(weight.shape) for key, weight in network.state_dict().items()}


def weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """A state for a network of these keys, with outputs neither flat nor saturated."""
    return {
        key: torch.from_numpy(np.asarray(_weight(key, shape))).reshape(tuple(shape)) for key, shape in shapes.items()
    }


def inputs(name: str, shape: Sequence[int], low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
    """Numbers in [low, high), the same for the same name."""
    return (low + (high - low) * _uniform(name, shape)).astype(np.float32)


def _weight(key: str, shape: Sequence[int]) -> NDArray[np.float32] | NDArray[np.int64]:
    if key.endswith("num_batches_tracked"):
        return np.zeros(tuple(shape), np.int64)
    drawn = _uniform(key, shape)
    if len(shape) >= 2:
        return ((drawn * 2 - 1) * np.sqrt(3.0 / int(np.prod(shape[1:])))).astype(np.float32)
    if key.endswith("running_var") or (key.endswith("weight") and not key.endswith("running_mean")):
        return (0.5 + drawn).astype(np.float32)
    return ((drawn * 2 - 1) * 0.1).astype(np.float32)


def _uniform(key: str, shape: Sequence[int]) -> NDArray[np.float64]:
    return np.random.default_rng(zlib.crc32(key.encode())).random(tuple(shape))
