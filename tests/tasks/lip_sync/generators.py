"""Generators to test with: checkpoints with Wav2Lip's keys that a test can make, and one that needs no network.

There is no trained checkpoint to test with.  Random weights prove that all is connected; the copying
ones draw each face as it was given (to 1 % of white), so that whatever else a picture changes by is
the doing of what is around the network.  `Loud` paints what it hears, in no time.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tasks.lip_sync.wav2lip.network import way_of
from tasks.nets.wav2lip import Wav2Lip
from tasks.residency.demand import Demand
from tasks.runtime.choice import Machine, Wish
from tasks.weights import Weights
from tests.tasks.recipe import shapes, weights

#: Values between which the way through the last sigmoid is a straight line.
_KNOTS = np.array([0.004, 0.02, 0.06, 0.13, 0.25, 0.5, 0.75, 0.87, 0.94, 0.98])


def save(path: Path, state: dict[str, Tensor]) -> Path:
    """The weights as upstream keeps them: under `state_dict`, each key behind `module.`"""
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    return path


def random_weights() -> dict[str, Tensor]:
    """The weights of the reference vectors."""
    return {key: torch.as_tensor(value) for key, value in weights(shapes(Wav2Lip())).items()}


def copying_weights(gain: float = 1.0, lift: float = 0.0) -> dict[str, Tensor]:
    """Weights with which the network draws `gain` times the face that it is shown, plus `lift`."""
    state = {key: torch.zeros_like(value) for key, value in Wav2Lip().state_dict().items()}
    for key in state:
        if key.endswith(("running_var", "conv_block.1.weight")):
            state[key] = torch.ones_like(state[key]) * (1.0 if "running" in key else float(np.sqrt(1 + 1e-5)))
    for colour in range(3):  # the first block hands the face on, the skip connection brings it to the last one
        state["face_encoder_blocks.0.0.conv_block.0.weight"][colour, 3 + colour, 3, 3] = 1.0
    slopes = np.diff(_logit(_KNOTS)) / np.diff(_KNOTS)
    bends = np.diff(slopes, prepend=0.0)
    first, last = state["output_block.0.conv_block.0.weight"], state["output_block.1.weight"]
    for colour in range(3):
        for k, (knot, bend) in enumerate(zip(_KNOTS, bends, strict=False)):
            unit = colour * len(bends) + k
            first[unit, 64 + colour, 1, 1] = gain
            state["output_block.0.conv_block.0.bias"][unit] = lift - knot
            last[colour, unit, 0, 0] = bend
        state["output_block.1.bias"][colour] = float(_logit(_KNOTS[:1])[0])
    return state


def _logit(x: np.ndarray) -> np.ndarray:
    return np.log(x / (1 - x))


class Loud:
    """Stands in for the network: the face as it is, a mouth in it the darker the louder its sound."""

    batch = 4
    side = 96
    name = "loud"

    def __init__(
        self,
        weights: Weights | None = None,
        device: str = "cpu",
        *,
        precision: str = "auto",
        runtime: str = "auto",
        like: Machine | None = None,
    ) -> None:
        self.way = way_of(Wish(runtime, precision), device, self.name, like)
        self.arithmetic = f"drawn by {self.name}, {self.way}"
        self.runs = 0

    def demand(self) -> Demand:
        return Demand(self.name, self.name, self.batch, self.side, 0)

    def release(self) -> None:
        pass

    def draw(self, mel: Tensor, faces: Tensor) -> Tensor:
        assert len(mel) <= self.batch
        self.runs += 1
        drawn = faces.clone()
        times = self.side // 96
        drawn[:, :, 64 * times : 80 * times, 34 * times : 62 * times] *= (0.6 - mel.mean((1, 2, 3)) / 10)[
            :, None, None, None
        ]
        return drawn


def at_hand(path: Path) -> Weights:
    """A checkpoint as it lies on this node after the plan fetched it."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "0" * 64
    return Weights("model", str(path), "wav2lip-96", sha256, path.name, path=str(path))
