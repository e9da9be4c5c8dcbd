"""Where a batch's planes live while tasks change them: host memory or a device, copied on the first write.

A window is a rectangle of one plane of one picture as float32 code values; knows no colour.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from tasks.picture import Plane
from tasks.turning import Box


class Planes(Protocol):
    """Y, Cb, Cr of N pictures; windows lie inside their plane."""

    device: torch.device

    def window(self, plane: int, frames: int | slice, box: Box) -> torch.Tensor:
        """(h, w) or (N, h, w) float32 code values, the caller's own."""

    def put(self, plane: int, frames: int | slice, box: Box, codes: torch.Tensor) -> None:
        """Store float32 code values, already whole and in range."""

    def to_arrays(self) -> tuple[Plane, ...]:
        """The planes in host memory; those that no one wrote are the arrays that came in."""


def open_planes(arrays: tuple[Plane, ...], device: torch.device, owned: bool) -> Planes:
    return HostPlanes(arrays, owned) if device.type == "cpu" else DevicePlanes(arrays, device)


class HostPlanes:
    """Planes in host memory, as they came until the first write to each."""

    def __init__(self, arrays: tuple[Plane, ...], owned: bool) -> None:
        self.device = torch.device("cpu")
        self._arrays = list(arrays)
        self._own = [owned and array.flags.writeable for array in arrays]

    def window(self, plane: int, frames: int | slice, box: Box) -> torch.Tensor:
        codes = self._arrays[plane][frames, box.y0 : box.y1, box.x0 : box.x1]
        return torch.from_numpy(codes.astype(np.float32))

    def put(self, plane: int, frames: int | slice, box: Box, codes: torch.Tensor) -> None:
        if not self._own[plane]:
            self._arrays[plane] = self._arrays[plane].copy()
            self._own[plane] = True
        array = self._arrays[plane]
        whole: npt.NDArray[np.float32] = codes.numpy()
        array[frames, box.y0 : box.y1, box.x0 : box.x1] = whole.astype(array.dtype)

    def to_arrays(self) -> tuple[Plane, ...]:
        return tuple(self._arrays)


class DevicePlanes:
    """Planes as tensors; more than 8 bits travel as int16, of which torch can do more than of uint16."""

    def __init__(self, arrays: tuple[Plane, ...], device: torch.device) -> None:
        self.device = device
        self._arrays = arrays
        self._written = [False] * len(arrays)
        self._tensors = [self._upload(array) for array in arrays]

    def _upload(self, array: Plane) -> torch.Tensor:
        signed = array if array.dtype == np.uint8 else array.view(np.int16)
        return torch.tensor(signed, device=self.device)

    def window(self, plane: int, frames: int | slice, box: Box) -> torch.Tensor:
        codes = self._tensors[plane][frames, box.y0 : box.y1, box.x0 : box.x1]
        if codes.dtype == torch.int16:
            codes = codes.to(torch.int32) & 0xFFFF
        return codes.to(torch.float32)

    def put(self, plane: int, frames: int | slice, box: Box, codes: torch.Tensor) -> None:
        self._written[plane] = True
        target = self._tensors[plane]
        # Through int32: a float above 32767 does not fit int16, an integer wraps to the same bits.
        target[frames, box.y0 : box.y1, box.x0 : box.x1] = codes.to(torch.int32).to(target.dtype)

    def to_arrays(self) -> tuple[Plane, ...]:
        return tuple(
            tensor.cpu().numpy().view(array.dtype) if written else array
            for array, tensor, written in zip(self._arrays, self._tensors, self._written, strict=True)
        )
