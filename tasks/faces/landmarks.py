"""The shipped landmark network behind two plain functions' worth of interface; knows one face at a time.

Every face is run as a batch of one, whatever is beside it, so that its numbers never depend on
how many faces or frames were measured together.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from tasks.faces.region import SIDE, from_region, scale_of
from tasks.nets.landmark_net import LandmarkNet

WEIGHTS: Final = Path(__file__).parents[1] / "weights" / "landmarks.safetensors"


class Pictures(Protocol):
    """A batch of upright pictures."""

    def __len__(self) -> int: ...

    def luma(self, i: int) -> NDArray[np.uint8]:
        """(H, W) at full resolution, read-only."""
        ...

    def crop(self, i: int, matrix: NDArray[np.float32], size: int) -> NDArray[np.uint8]:
        """(size, size, 3) RGB; `matrix` (2, 3) maps crop pixels to picture pixels; edges replicated."""
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
        self._network = network.eval().to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def look(self, pictures: Pictures, i: int, region: NDArray[np.float32]) -> Landmarks:
        """What is in `region` (see tasks.faces.region) of picture `i`."""
        crop = torch.from_numpy(region_crop(pictures, i, region)).to(self._device)
        shapes, logits = self._network(crop.permute(2, 0, 1)[None].float() / 255)
        presence, hidden = torch.sigmoid(logits[0]).tolist()
        return Landmarks(from_region(region, shapes[0].cpu().numpy()), presence, hidden)


def region_crop(pictures: Pictures, i: int, region: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(112, 112, 3) RGB; where that shrinks the picture it is sampled finer and averaged, lest it alias."""
    scale = scale_of(region)
    finer = 1 if scale < 1.6 else 2 if scale < 4 else 4
    if finer == 1:
        return pictures.crop(i, region, SIDE)
    linear = region[:, :2] / finer
    offset = region[:, 2] - linear.sum(1) * (finer - 1) / 2
    fine = pictures.crop(i, np.concatenate((linear, offset[:, None]), 1).astype(np.float32), SIDE * finer)
    sums = fine.reshape(SIDE, finer, SIDE, finer, 3).astype(np.uint16).sum((1, 3))
    return np.asarray((sums + finer * finer // 2) // (finer * finer), np.uint8)
