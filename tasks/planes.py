"""Where a batch's planes live while tasks change them: host memory or a device, copied on the first write.

A window is a rectangle of one plane of one picture as float32 code values; knows no colour.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from tasks.picture import PictureFormat, Plane
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
    return HostPlanes(arrays, owned) if device.type == "cpu" else DevicePlanes.uploaded(arrays, device)


def blank_planes(format: PictureFormat, count: int, device: torch.device) -> Planes:
    """Planes of `count` black pictures, on the device from the first."""
    if device.type != "cpu":
        return DevicePlanes.blank(format, count, device)
    shapes = [(count, *shape) for shape in format.plane_shapes]
    arrays = [np.full(*one, format.layout.dtype) for one in zip(shapes, _black(format), strict=True)]
    return HostPlanes(tuple(arrays), owned=True)


def _black(format: PictureFormat) -> tuple[int, int, int]:
    """Code values of Y, Cb, Cr."""
    middle = 1 << (format.layout.depth - 1)
    return 0, middle, middle


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

    def __init__(self, tensors: list[torch.Tensor], unwritten: "list[Plane | None]", dtype: np.dtype[Any]) -> None:
        self.device = tensors[0].device
        self._tensors = tensors
        self._unwritten = unwritten
        "The arrays that came in, each until the first write to its plane."
        self._dtype = dtype

    @classmethod
    def uploaded(cls, arrays: tuple[Plane, ...], device: torch.device) -> "DevicePlanes":
        signed = [array if array.dtype == np.uint8 else array.view(np.int16) for array in arrays]
        return cls([torch.tensor(array, device=device) for array in signed], list(arrays), arrays[0].dtype)

    @classmethod
    def blank(cls, format: PictureFormat, count: int, device: torch.device) -> "DevicePlanes":
        kept = torch.uint8 if format.layout.dtype == np.uint8 else torch.int16
        tensors = [
            # Through int32: the middle of 16 bits does not fit int16, but wraps to the same bits.
            torch.full((count, *shape), code, dtype=torch.int32, device=device).to(kept)
            for shape, code in zip(format.plane_shapes, _black(format), strict=True)
        ]
        return cls(tensors, [None] * len(tensors), format.layout.dtype)

    def window(self, plane: int, frames: int | slice, box: Box) -> torch.Tensor:
        codes = self._tensors[plane][frames, box.y0 : box.y1, box.x0 : box.x1]
        if codes.dtype == torch.int16:
            codes = codes.to(torch.int32) & 0xFFFF
        return codes.to(torch.float32)

    def put(self, plane: int, frames: int | slice, box: Box, codes: torch.Tensor) -> None:
        self._unwritten[plane] = None
        target = self._tensors[plane]
        # Through int32: a float above 32767 does not fit int16, an integer wraps to the same bits.
        target[frames, box.y0 : box.y1, box.x0 : box.x1] = codes.to(torch.int32).to(target.dtype)

    def to_arrays(self) -> tuple[Plane, ...]:
        return tuple(
            tensor.cpu().numpy().view(self._dtype) if array is None else array
            for tensor, array in zip(self._tensors, self._unwritten, strict=True)
        )
