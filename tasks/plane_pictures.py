"""What a scan looks at: upright luma and small RGB crops straight from planes; knows no device.

Crops are for measuring, not for output: 8 bits of precision, HDR tone-mapped by one curve.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tasks.colour import conversion
from tasks.picture import FrameBatch, PictureFormat
from tasks.tone_map import tone_map
from tasks.turning import orientation_of, stored_from_upright

#: Source samples per crop pixel from which on areas are averaged, as bilinear sampling would alias.
_AREA_FROM = 1.3

#: OpenCV's flip code by (mirror_x, mirror_y).
_FLIPS = {(True, False): 1, (False, True): 0, (True, True): -1}

Matrix = npt.NDArray[np.floating]
#: Planes and interleaved samples, uint8, uint16 or float32: what OpenCV takes and gives.
Samples = npt.NDArray[Any]


class PlanePictures:
    """The upright pictures of a batch.

    Raises:
        JobError: they are turned by an odd angle, or their colour matrix is unknown.
    """

    def __init__(self, batch: FrameBatch) -> None:
        self._batch = batch
        self._turn = orientation_of(batch.format)
        self._conversion = conversion(batch.format.colour, batch.format.layout)
        self._to_stored = stored_from_upright(batch.format)

    def __len__(self) -> int:
        return len(self._batch)

    @property
    def format(self) -> PictureFormat:
        return self._batch.format

    def luma(self, i: int) -> npt.NDArray[np.uint8]:
        """(H, W) code values brought to 8 bits, range as stored, HDR tone-mapped; not to be written to.

        A view of the planes where they are 8-bit SDR and stored upright; always contiguous.
        """
        plane: Samples = self._batch.planes[0][i]
        if plane.dtype != np.uint8:
            plane = cv2.convertScaleAbs(plane, alpha=0.5 ** (self.format.layout.depth - 8))
        if self._luma_curve is not None:
            plane = cv2.LUT(plane, self._luma_curve)
        if self._turn.transpose:
            plane = cv2.transpose(plane)
        if self._turn.mirror_x or self._turn.mirror_y:
            plane = cv2.flip(plane, _FLIPS[self._turn.mirror_x, self._turn.mirror_y])
        return np.asarray(plane, np.uint8)

    def crop(self, i: int, matrix: Matrix, size: int) -> npt.NDArray[np.uint8]:
        """(size, size, 3) R'G'B', 255 at white and clipped; `matrix` as for `crop_float`."""
        rgb = self._sampled(i, matrix, size)
        if rgb.dtype == np.uint8 and self._curve is None:
            return np.asarray(cv2.transform(rgb, self._rows * 255.0), np.uint8)
        return np.asarray(cv2.convertScaleAbs(self._toned(rgb).clip(0, 1), alpha=255.0), np.uint8)

    def crop_float(self, i: int, matrix: Matrix, size: int) -> npt.NDArray[np.float32]:
        """(size, size, 3) R'G'B', 1.0 at white, not clipped where the source is SDR.

        `matrix` (2, 3) maps crop pixels to upright picture pixels, both by their centres; edges
        repeat, areas are averaged where the crop is coarser than the picture.
        """
        return self._toned(self._sampled(i, matrix, size))

    @cached_property
    def _rows(self) -> npt.NDArray[np.float64]:
        """(3, 4): R', G', B' from Y, Cb, Cr, 1."""
        return np.array(self._conversion.rgb_rows())

    @cached_property
    def _curve(self) -> npt.NDArray[np.float32] | None:
        """(1024,) SDR value of greys 0..1 of an HDR source, None where it is SDR."""
        view = tone_map(self.format.colour)
        if view is None:
            return None
        greys = np.linspace(0, 1, 1024).reshape(1, 1, -1).repeat(3, 0)
        return np.asarray(view.to_sdr(greys)[0, 0].clip(0, 1), np.float32)

    @cached_property
    def _luma_curve(self) -> npt.NDArray[np.uint8] | None:
        """(256,) the same curve over 8-bit code values."""
        if self._curve is None:
            return None
        to = self._conversion
        foot, span = (value * 255 / to.largest for value in (to.luma_offset, to.luma_span))
        greys = ((np.arange(256) - foot) / span).clip(0, 1)
        toned = np.interp(greys, np.linspace(0, 1, len(self._curve)), self._curve)
        return np.asarray(np.rint(toned * span + foot), np.uint8)

    def _toned(self, ycc: Samples) -> npt.NDArray[np.float32]:
        rgb = np.asarray(cv2.transform(np.asarray(ycc, np.float32), self._rows), np.float32)
        if self._curve is None:
            return rgb
        steps = np.rint(rgb.clip(0, 1) * (len(self._curve) - 1)).astype(np.int32)
        return np.asarray(self._curve[steps], np.float32)

    def _sampled(self, i: int, matrix: Matrix, size: int) -> Samples:
        """(size, size, 3) Y, Cb, Cr code values in the planes' own type."""
        whole = np.empty((3, 3))
        whole[:2], whole[2] = matrix, (0, 0, 1)
        x, y, _ = (self._to_stored @ whole).tolist()
        planes = [_warped(self._batch.planes[0][i], x, y, size)]
        # Chroma is sited in the middle of the pixels it covers, as tasks.device_batch writes it.
        x = _at_shift(x, self.format.layout.chroma_shift_x)
        y = _at_shift(y, self.format.layout.chroma_shift_y)
        planes += [_warped(plane[i], x, y, size) for plane in self._batch.planes[1:]]
        return np.asarray(cv2.merge(planes))


#: One coordinate of a map: its change along the crop's x, along its y, and its value at (0, 0).
_Row = Sequence[float]


def _at_shift(row: _Row, shift: int) -> _Row:
    """The same coordinate in samples of `2 ** shift` pixels."""
    cell = 1 << shift
    return row[0] / cell, row[1] / cell, (row[2] + 0.5) / cell - 0.5


def _warped(plane: Samples, x: _Row, y: _Row, size: int) -> Samples:
    """(size, size) of a plane at crop pixel -> plane sample coordinates `x` and `y`."""
    scale = math.sqrt(abs(x[0] * y[1] - x[1] * y[0]))
    halvings = max(0, math.ceil(math.log2(max(scale, 1e-6) / _AREA_FROM)))
    cell = 1 << halvings
    x0, x1 = _reach(x, size, plane.shape[1], cell)
    y0, y1 = _reach(y, size, plane.shape[0], cell)
    source = _halved(plane[y0:y1, x0:x1], halvings)
    moved = np.array((_at_shift((x[0], x[1], x[2] - x0), halvings), _at_shift((y[0], y[1], y[2] - y0), halvings)))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped: Samples = cv2.warpAffine(source, moved, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return warped


def _reach(row: _Row, size: int, end: int, cell: int) -> tuple[int, int]:
    """[first, last) samples that a crop looks at, with two cells more on each side; at least one."""
    across, down = row[0] * (size - 1), row[1] * (size - 1)
    low = row[2] + min(across, 0) + min(down, 0)
    high = row[2] + max(across, 0) + max(down, 0)
    first = min(max(math.floor(low / cell) * cell - 2 * cell, 0), (end - 1) // cell * cell)
    return first, max(min(math.ceil(high) + 3 * cell, end), first + 1)


def _halved(source: Samples, times: int) -> Samples:
    """Means over cells of 2 by 2 samples, `times` over; an odd edge is repeated."""
    for _ in range(times):
        height, width = source.shape
        if height % 2 or width % 2:
            source = cv2.copyMakeBorder(source, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        small = (source.shape[1] // 2, source.shape[0] // 2)
        source = cv2.resize(source, small, interpolation=cv2.INTER_AREA)
    return source
