"""Copies decoded frames into the arrays of a batch, once; knows one `Conversion`, no time."""

from dataclasses import replace
from typing import Any, cast

import av
import numpy as np

from pipeline.formats import Conversion, conversion_of
from tasks.picture import PictureFormat, Plane

#: swscale's code for a matrix of H.273; what it does not know it takes for BT.601.
_SWS_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_LIMITED, _FULL = 1, 2


def new_planes(format: PictureFormat, count: int) -> tuple[Plane, ...]:
    """Arrays for `count` pictures, their samples not yet set."""
    return tuple(np.empty((count, *shape), format.layout.dtype) for shape in format.plane_shapes)


class PlaneWriter:
    """Writes frames as pictures of `format`; holds the one swscale context of its user."""

    def __init__(self, format: PictureFormat, *, flat: bool) -> None:
        self._format = format
        self._flat = flat
        self._scaler = av.video.reformatter.VideoReformatter()
        self._conversions: dict[str, Conversion] = {}

    def matches(self, frame: "av.VideoFrame") -> bool:
        """Whether the frame has the size of the format."""
        return frame.width == self._format.width and frame.height == self._format.height

    def write(self, frame: "av.VideoFrame", planes: tuple[Plane, ...], position: int) -> None:
        """The frame's samples into picture `position` of `planes`."""
        how = self._conversion(frame.format.name).how
        if how == "scale":
            frame = self._scale(frame)
        if how == "grey":
            _copy_plane(frame.planes[0], planes[0][position])
            for chroma in planes[1:]:
                chroma[position] = 1 << (self._format.layout.depth - 1)
            return
        for source, target in zip(frame.planes, planes, strict=False):
            _copy_plane(source, target[position])

    def _conversion(self, name: str) -> Conversion:
        if name not in self._conversions:
            found = conversion_of(name, flat=self._flat)
            same = found.layout == self._format.layout
            self._conversions[name] = found if same else replace(found, how="scale")
        return self._conversions[name]

    def _scale(self, frame: "av.VideoFrame") -> "av.VideoFrame":
        colour = self._format.colour
        matrix = _SWS_MATRIX.get(colour.matrix, 5)
        rgb = frame.format.is_rgb or frame.format.has_palette
        full = frame.color_range == _FULL or frame.format.name.startswith("yuvj")
        return self._scaler.reformat(
            frame,
            format=self._format.layout.name,
            src_colorspace=None if rgb else matrix,
            dst_colorspace=matrix,
            src_color_range=_FULL if rgb or full else _LIMITED,
            dst_color_range=_FULL if colour.full_range else _LIMITED,
            interpolation="BICUBIC",
            # More than one thread gave wrong samples in 4 of 1,500 conversions (PyAV 18.1, FFmpeg 8.1.2).
            threads=1,
        )


def _copy_plane(plane: "av.video.plane.VideoPlane", target: Plane) -> None:
    height, width = target.shape
    rows = np.frombuffer(cast(Any, plane), target.dtype).reshape(-1, plane.line_size // target.dtype.itemsize)
    target[:] = rows[:height, :width]
