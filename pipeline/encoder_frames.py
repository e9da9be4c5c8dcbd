"""Pictures brought to the encoder's size and pixel format: rounding, chroma resolution, padding; pure numpy.

Each step is a stated rule, so that it is the same on every machine: depth down rounds to nearest
(half up) and saturates, depth up shifts; chroma is averaged over its box to go down and repeated to
go up; an odd size is padded by repeating the last column or row.
"""

import ctypes
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from tasks.errors import StitchError
from tasks.picture import FrameBatch, PixelLayout

Samples = npt.NDArray[Any]

_PADDED_COLUMNS, _PADDED_ROWS = 1, 3


def frames_of(batch: FrameBatch, layout: PixelLayout, width: int, height: int) -> "list[av.VideoFrame]":
    """One frame a picture in the encoder's format, pts set; samples are shared where nothing changes.

    Raises:
        StitchError: the pictures are not of the size that was planned.
    """
    _check_size(batch, width, height)
    planes: tuple[Samples, ...] = batch.planes
    if batch.format.layout != layout:
        planes = converted(planes, batch.format.layout, layout)
    subsampled = layout.chroma_shift_x or layout.chroma_shift_y
    odd = width % (1 << layout.chroma_shift_x) or height % (1 << layout.chroma_shift_y)
    padded = (width, height) != (batch.format.width, batch.format.height)
    make = _copied if padded or (subsampled and odd) else _shared
    frames = make(planes, layout, width, height)
    for frame, pts in zip(frames, batch.pts.tolist(), strict=True):
        frame.pts = pts
    return frames


def _check_size(batch: FrameBatch, width: int, height: int) -> None:
    """Padding fills up a chroma cell, or one of each field: anything else is another picture."""
    missing = (width - batch.format.width, height - batch.format.height)
    if not (0 <= missing[0] <= _PADDED_COLUMNS and 0 <= missing[1] <= _PADDED_ROWS):
        raise StitchError(
            f"pictures of {batch.format.width}x{batch.format.height} came to be encoded, expected {width}x{height}: "
            "a task made another size than it had told"
        )


def converted(planes: tuple[Samples, ...], source: PixelLayout, target: PixelLayout) -> tuple[Samples, ...]:
    """Planes (N, H, W) in another depth or chroma resolution."""
    luma_shape = planes[0].shape
    chroma = [_resampled(p, source, target, luma_shape) for p in planes[1:]]
    return tuple(_at_depth(p, source.depth, target) for p in (planes[0], *chroma))


def _at_depth(plane: Samples, depth: int, target: PixelLayout) -> Samples:
    if target.depth == depth:
        return plane
    if target.depth > depth:
        return np.left_shift(plane.astype(np.uint16), target.depth - depth)
    down = depth - target.depth
    rounded = (plane.astype(np.uint32) + (1 << (down - 1))) >> down
    held: Samples = np.minimum(rounded, (1 << target.depth) - 1).astype(target.dtype)
    return held


def _resampled(plane: Samples, source: PixelLayout, target: PixelLayout, luma_shape: tuple[int, ...]) -> Samples:
    """A chroma plane with the target's subsampling."""
    shifts = (source.chroma_shift_y, target.chroma_shift_y), (source.chroma_shift_x, target.chroma_shift_x)
    dtype, weight = plane.dtype, 1
    for axis, (before, after) in zip((1, 2), shifts, strict=True):
        if before > after:
            plane = np.repeat(plane, 2, axis=axis).take(range(luma_shape[axis]), axis=axis)
        elif before < after:
            plane, weight = _summed(plane, axis), weight * 2
    if weight == 1:
        return plane
    mean: Samples = ((plane + weight // 2) // weight).astype(dtype)
    return mean


def _summed(plane: Samples, axis: int) -> Samples:
    """Neighbours added; a last one alone is added to itself."""
    if plane.shape[axis] % 2:
        plane = np.concatenate([plane, plane.take([-1], axis=axis)], axis=axis)
    first, second = (plane.take(range(k, plane.shape[axis], 2), axis=axis).astype(np.uint32) for k in (0, 1))
    total: Samples = first + second
    return total


def _shared(planes: tuple[Samples, ...], layout: PixelLayout, width: int, height: int) -> "list[av.VideoFrame]":
    """Frames over the arrays' own memory; encoders only read it."""
    open_planes = [_aliased(p) for p in planes]
    return [
        av.VideoFrame.from_dlpack(tuple(p[i] for p in open_planes), format=layout.name, width=width, height=height)
        for i in range(len(planes[0]))
    ]


def _aliased(plane: Samples) -> Samples:
    """The same memory not marked read-only, as DLPack demands; keeps the original alive."""
    plane = np.ascontiguousarray(plane)
    memory = (ctypes.c_uint8 * plane.nbytes).from_address(plane.ctypes.data)
    memory.owner = plane  # type: ignore[attr-defined]
    return np.frombuffer(memoryview(memory), plane.dtype).reshape(plane.shape)


def _copied(planes: tuple[Samples, ...], layout: PixelLayout, width: int, height: int) -> "list[av.VideoFrame]":
    frames = []
    for i in range(len(planes[0])):
        frame = av.VideoFrame(width, height, layout.name)
        for plane, samples in zip(frame.planes, planes, strict=True):
            rows = np.frombuffer(memoryview(plane), layout.dtype).reshape(plane.height, -1)[:, : plane.width]
            _fill(rows, samples[i])
        frames.append(frame)
    return frames


def _fill(rows: Samples, samples: Samples) -> None:
    """Write `samples` and repeat its last row and column over the rest of `rows`."""
    height, width = samples.shape
    rows[:height, :width] = samples
    rows[:height, width:] = samples[:, -1:]
    rows[height:] = rows[height - 1]
