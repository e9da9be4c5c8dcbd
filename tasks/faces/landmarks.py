"""The shipped landmark network behind two plain functions' worth of interface; knows one face at a time.

Every face is run as a batch of one, whatever is beside it, so that its numbers never depend on
how many faces or frames were measured together.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from tasks.faces.region import SIDE, from_region
from tasks.nets.landmark_net import LandmarkNet

WEIGHTS: Final = Path(__file__).parents[1] / "weights" / "landmarks.safetensors"


class Pictures(Protocol):
    """A batch of upright pictures."""

    def __len__(self) -> int: ...

    def luma(self, i: int) -> NDArray[np.uint8]:
        """(H, W) at full resolution, read-only."""
        ...

    def crop(self, i: int, matrix: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
        """(size, size, 3) RGB; `matrix` (2, 3) maps crop pixels to picture pixels.

        Edges repeat; areas are averaged where the crop is coarser than the picture.
        """
        ...


@dataclass(frozen=True)
class Landmarks:
    points: NDArray[np.float32]
    "(51, 2) in picture pixels"
    presence: float
    "0 to 1: how sure that this is a face"
    hidden: float
    "0 to 1: how sure that something covers its mouth"


class LandmarkModel:
    """The network on one device; `device` is a torch device name."""

    def __init__(self, device: str = "cpu", weights: Path = WEIGHTS) -> None:
        network = LandmarkNet()
        network.load_state_dict({name: value.float() for name, value in load_file(weights).items()})
        self.mean_shape: NDArray[np.float32] = network.mean_shape.numpy().copy()
        self._device = torch.device(device)
        network = network.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network = _frozen(network) if self._device.type == "cpu" else network

    @torch.inference_mode()
    def look(self, pictures: Pictures, i: int, region: NDArray[np.float32]) -> Landmarks:
        """What is in `region` (see tasks.faces.region) of picture `i`."""
        crop = torch.from_numpy(pictures.crop(i, region, SIDE)).to(self._device)
        shapes, logits = self._network(crop.permute(2, 0, 1)[None].float().div_(255))
        presence, hidden = torch.sigmoid(logits[0]).tolist()
        return Landmarks(from_region(region, shapes[0].cpu().numpy()), presence, hidden)


@torch.inference_mode()
def _frozen(network: LandmarkNet) -> torch.nn.Module:
    """The same function, bit for bit, at five sixths of the time: convolutions joined with what follows them.

    Of the ways to that the others (torch.compile, torch.export) need a C++ compiler on the user's machine.
    """
    seen = torch.zeros(1, 3, SIDE, SIDE).to(memory_format=torch.channels_last)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is on its way out
        traced = torch.jit.trace(network, seen, check_trace=False)  # type: ignore[no-untyped-call]
        frozen: torch.nn.Module = torch.jit.freeze(traced)
    return frozen
