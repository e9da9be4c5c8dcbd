"""Planes on a device: a task asks for a region as float RGB and writes back what it touched.

The round trip is exact: chroma is repeated to every pixel it covers (nearest up), averaged over
the same pixels on the way back (box down), and RGB is never clamped; only code values are rounded.
What no task touched is never converted.

A task that changes the size of pictures reads them whole, writes them whole into a `resized` batch, and
hands that on: there is no untouched pixel then, and chroma is interpolated where it is sited.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional

from tasks.chroma import Siting, gathered, siting, spread
from tasks.colour import conversion
from tasks.picture import FrameBatch, PictureFormat
from tasks.planes import Planes, blank_planes, open_planes
from tasks.tone_map import ToneMap, tone_map
from tasks.turning import Box, clipped, orientation_of, stored_box

__all__ = ["Box", "DeviceBatch"]


@dataclass(frozen=True, eq=False)
class Shown:
    """Which pictures of the output a batch is, whatever their size."""

    first_frame: int
    pts: npt.NDArray[np.int64]
    source_frames: npt.NDArray[np.int64]
    given: FrameBatch | None
    "The batch that came in, as long as its planes may still be those; None for another size."


class DeviceBatch:
    """N pictures that tasks change in place; `to_frames` gives them back as planes.

    On the CPU nothing is copied until the first write to a plane, which copies that plane of the
    whole batch, unless `owned` says that the arrays are the batch's to write to.
    """

    def __init__(self, format: PictureFormat, shown: "Shown", planes: Planes) -> None:
        self.format = format
        self._shown = shown
        self._planes = planes
        self._conversion = conversion(format.colour, format.layout)

    @classmethod
    def from_frames(cls, batch: FrameBatch, device: str, *, owned: bool = False) -> "DeviceBatch":
        """The pictures on `device`, by torch's name of it.

        Raises:
            JobError: the colour matrix is one that cannot be converted.
        """
        shown = Shown(batch.first_frame, batch.pts, batch.source_frames, batch)
        return cls(batch.format, shown, open_planes(batch.planes, torch.device(device), owned))

    def resized(self, width: int, height: int) -> "DeviceBatch":
        """As many black pictures of another stored size, for `write_whole`; this batch stays as it is."""
        format = replace(self.format, width=width, height=height)
        shown = replace(self._shown, given=None)
        return DeviceBatch(format, shown, blank_planes(format, len(self), self.device))

    def __len__(self) -> int:
        return len(self._shown.pts)

    @property
    def first_frame(self) -> int:
        return self._shown.first_frame

    @property
    def pts(self) -> npt.NDArray[np.int64]:
        return self._shown.pts

    @property
    def source_frames(self) -> npt.NDArray[np.int64]:
        return self._shown.source_frames

    @property
    def device(self) -> torch.device:
        return self._planes.device

    def to_frames(self) -> FrameBatch:
        """The pictures as planes in host memory; the batch that came in where nothing was written."""
        planes, given = self._planes.to_arrays(), self._shown.given
        if given is not None and all(new is old for new, old in zip(planes, given.planes, strict=True)):
            return given
        return FrameBatch(self.format, planes, self.first_frame, self.pts, self.source_frames)

    def read_whole(self, frames: Sequence[int]) -> torch.Tensor:
        """(N, 3, H, W) float32 R'G'B' of upright pictures, white at 1.0, not clamped, chroma interpolated.

        Raises:
            JobError: the source is turned by an odd angle.
        """
        return self._turned_upright(torch.stack([self._whole(frame) for frame in frames])).contiguous()

    def write_whole(self, frames: Sequence[int], rgb: torch.Tensor) -> None:
        """Replace pictures by those of `read_whole`'s shape and meaning, in order.

        Raises:
            JobError: the source is turned by an odd angle.
        """
        if tuple(rgb.shape) != (len(frames), 3, *self.format.upright_size):
            raise ValueError(f"pictures are {tuple(rgb.shape)}, expected {(len(frames), 3, *self.format.upright_size)}")
        for frame, picture in zip(frames, self._turned_back(rgb), strict=True):
            self._put_whole(frame, picture)

    def read(self, frames: Sequence[int], boxes: Sequence[Box], *, tone_mapped: bool = False) -> torch.Tensor:
        """(N, 3, h, w) float32 R'G'B' of one upright box per entry, white at 1.0, not clamped.

        `frames` are indexes into the batch (one may stand there twice); boxes have one size and
        may hang over the border, where the edge is repeated.  With `tone_mapped` pictures in PQ
        or HLG come as SDR BT.709, others as they are.

        Raises:
            JobError: the source is turned by an odd angle.
        """
        _one_size(frames, boxes)
        stored = [stored_box(box, self.format) for box in boxes]
        size = (len(frames), 3, stored[0].height, stored[0].width)
        regions = torch.empty(size, dtype=torch.float32, device=self.device)
        for region, frame, box in zip(regions, frames, stored, strict=True):
            self._read_stored(frame, box, region)
        regions = self._turned_upright(regions).contiguous()
        view = self._view() if tone_mapped else None
        # One by one: a region must not depend on its neighbours, and stays in the CPU's cache.
        return torch.stack([view.to_sdr(region) for region in regions]) if view else regions

    def write(
        self,
        frames: Sequence[int],
        boxes: Sequence[Box],
        rgb: torch.Tensor,
        mask: torch.Tensor | None = None,
        *,
        tone_mapped: bool = False,
    ) -> None:
        """Put regions of `read`'s shape and meaning back, in order.

        Only pixels inside the picture at which `mask` ((N, 1, h, w) or (N, h, w)) is above 0 are
        replaced, all where there is none: blending is the task's.  A chroma sample moves by the mean
        change of the pixels it covers, so it stays where none of them is replaced.  Unchanged `rgb`
        gives the same code values back at every depth; with `tone_mapped`, see `tasks.tone_map`.

        Raises:
            JobError: the source is turned by an odd angle.
        """
        size = _one_size(frames, boxes)
        if tuple(rgb.shape) != (len(frames), 3, *size):
            raise ValueError(f"regions are {tuple(rgb.shape)}, expected {(len(frames), 3, *size)}")
        masks = None if mask is None else mask.reshape(len(frames), *size)
        if tone_mapped and (view := self._view()) is not None:
            rgb = torch.stack(
                [
                    _composite(view, source, sdr, None if masks is None else masks[i])
                    for i, (source, sdr) in enumerate(zip(self.read(frames, boxes), rgb, strict=True))
                ]
            )
        regions = self._turned_back(rgb)
        masks = None if masks is None else self._turned_back(masks)
        for i, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
            stored = stored_box(box, self.format)
            inside = clipped(stored, self.format)
            if inside is None:
                continue
            rows = slice(inside.y0 - stored.y0, inside.y1 - stored.y0)
            columns = slice(inside.x0 - stored.x0, inside.x1 - stored.x0)
            touched = None if masks is None else _above_zero(masks[i, rows, columns])
            self._write_stored(frame, inside, regions[i, :, rows, columns], touched)

    def blend_planes(self, box: Box, keep: Sequence[torch.Tensor], add: Sequence[torch.Tensor]) -> None:
        """`codes * keep + add` in every picture and plane under a stored, chroma-aligned box.

        `keep` and `add` hold one (h, w) float32 tensor per plane at that plane's resolution.
        """
        for plane in range(3):
            window = self._plane_box(box, plane)
            codes = self._planes.window(plane, slice(None), window)
            codes.mul_(keep[plane]).add_(add[plane]).round_().clamp_(0, self._conversion.largest)
            self._planes.put(plane, slice(None), window, codes)

    def _whole(self, frame: int) -> torch.Tensor:
        """(3, h, w) R'G'B' of a stored picture."""
        to = self._conversion
        luma, cb, cr = (self._planes.window(plane, frame, self._all_of(plane)) for plane in range(3))
        luma.sub_(to.luma_offset).mul_(1 / to.luma_span)
        cb, cr = (
            spread(codes.sub_(to.chroma_offset).mul_(1 / to.chroma_span), self.format.plane_shapes[0], self._siting)
            for codes in (cb, cr)
        )
        green = (cb * to.green_cb).add_(cr, alpha=to.green_cr)
        return torch.stack((cr * to.red_cr, green, cb * to.blue_cb)).add_(luma)

    def _put_whole(self, frame: int, rgb: torch.Tensor) -> None:
        """Replace a stored picture."""
        to = self._conversion
        red, green, blue = rgb
        luma = (green * to.kg).add_(red, alpha=to.kr).add_(blue, alpha=to.kb)
        planes = [(luma, to.luma_span, to.luma_offset)]
        for other, factor in ((blue, to.blue_cb), (red, to.red_cr)):
            planes.append((gathered(other - luma, self._siting), to.chroma_span / factor, to.chroma_offset))
        for plane, (values, span, offset) in enumerate(planes):
            codes = (values * span).add_(offset).round_().clamp_(0, to.largest)
            self._planes.put(plane, frame, self._all_of(plane), codes)

    def _all_of(self, plane: int) -> Box:
        height, width = self.format.plane_shapes[plane]
        return Box(0, 0, width, height)

    @property
    def _siting(self) -> tuple[Siting, Siting]:
        return siting(self.format)

    def _view(self) -> ToneMap | None:
        return tone_map(self.format.colour)

    def _turned_upright(self, stored: torch.Tensor) -> torch.Tensor:
        turn = orientation_of(self.format)
        axes = [axis for axis, mirrored in ((-1, turn.mirror_x), (-2, turn.mirror_y)) if mirrored]
        shown = stored.mT if turn.transpose else stored
        return shown.flip(axes) if axes else shown

    def _turned_back(self, upright: torch.Tensor) -> torch.Tensor:
        turn = orientation_of(self.format)
        axes = [axis for axis, mirrored in ((-1, turn.mirror_x), (-2, turn.mirror_y)) if mirrored]
        mirrored = upright.flip(axes) if axes else upright
        return mirrored.mT if turn.transpose else mirrored

    def _plane_box(self, box: Box, plane: int) -> Box:
        """The samples of a plane that cover a stored box inside the picture."""
        sx, sy = self._shifts(plane)
        return Box(box.x0 >> sx, box.y0 >> sy, ((box.x1 - 1) >> sx) + 1, ((box.y1 - 1) >> sy) + 1)

    def _shifts(self, plane: int) -> tuple[int, int]:
        layout = self.format.layout
        return (layout.chroma_shift_x, layout.chroma_shift_y) if plane else (0, 0)

    def _read_stored(self, frame: int, box: Box, region: torch.Tensor) -> None:
        """Fill `region` (3, h, w) with R'G'B' of a stored box, edges repeated."""
        to = self._conversion
        near = _nearest(box, self.format)
        luma = self._planes.window(0, frame, near).sub_(to.luma_offset).mul_(1 / to.luma_span)
        chroma_box = self._plane_box(near, 1)
        cb, cr = (
            self._planes.window(plane, frame, chroma_box).sub_(to.chroma_offset).mul_(1 / to.chroma_span)
            for plane in (1, 2)
        )
        green = (cb * to.green_cb).add_(cr, alpha=to.green_cr)
        # (3, h / sy, w / sx): what chroma adds to each of R', G', B'
        tint = torch.stack((cr * to.red_cr, green, cb * to.blue_cb))
        sx, sy = self._shifts(1)
        ys = _positions(box.y0, box.y1, near.y0, near.y1)
        if near == box:
            tint = _widened(tint, near.x0, near.x1, sx)
        else:
            xs = _positions(box.x0, box.x1, near.x0, near.x1)
            luma = _take(_take(luma, 1, xs - near.x0), 0, ys - near.y0)
            tint = _take(tint, 2, (xs >> sx) - chroma_box.x0)
        if sy or near != box:
            tint = _take(tint, 1, (ys >> sy) - chroma_box.y0)
        torch.add(tint, luma, out=region)

    def _write_stored(self, frame: int, box: Box, rgb: torch.Tensor, touched: torch.Tensor | None) -> None:
        """Replace the touched pixels of a stored box that lies inside the picture."""
        to = self._conversion
        red, green, blue = rgb
        luma = (green * to.kg).add_(red, alpha=to.kr).add_(blue, alpha=to.kb)
        codes = (luma * to.luma_span).add_(to.luma_offset).round_().clamp_(0, to.largest)
        if touched is not None:
            old = self._planes.window(0, frame, box)
            codes.sub_(old).mul_(touched).add_(old)  # whole numbers: exact
        self._planes.put(0, frame, box, codes)
        difference = torch.empty((2, *luma.shape), dtype=torch.float32, device=self.device)
        torch.sub(blue, luma, out=difference[0])
        torch.sub(red, luma, out=difference[1])
        if touched is not None:
            difference *= touched
        self._write_chroma(frame, box, difference, touched)

    def _write_chroma(self, frame: int, box: Box, difference: torch.Tensor, touched: torch.Tensor | None) -> None:
        """Each sample becomes the mean of the touched pixels' chroma and, for all others, of its own.

        `difference` is (2, h, w): B' - Y' and R' - Y', 0 where not touched.
        """
        to = self._conversion
        sx, sy = self._shifts(1)
        window = self._plane_box(box, 1)
        pixels = self._pixels_per_cell(window)
        if touched is None:
            replaced = self._pixels_per_cell(window, box) / pixels
        else:
            replaced = _cell_sums(touched[None], box, sx, sy)[0] / pixels
        cells = _cell_sums(difference, box, sx, sy)
        for plane, cell, factor in zip((1, 2), cells, (to.blue_cb, to.red_cr), strict=True):
            old = self._planes.window(plane, frame, window)
            new = (cell * (to.chroma_span / factor)).div_(pixels)
            new.add_((to.chroma_offset - old).mul_(replaced)).add_(old)
            self._planes.put(plane, frame, window, new.round_().clamp_(0, to.largest))

    def _pixels_per_cell(self, window: Box, box: Box | None = None) -> torch.Tensor:
        """(cells down, cells across): pixels of the picture, or of a stored box, under chroma samples."""
        sx, sy = self._shifts(1)
        area = box or Box(0, 0, self.format.width, self.format.height)
        down = _overlaps(window.y0, window.y1, sy, area.y0, area.y1)
        across = _overlaps(window.x0, window.x1, sx, area.x0, area.x1)
        return torch.from_numpy(np.outer(down, across)).to(self.device)


def _composite(view: ToneMap, source: torch.Tensor, sdr: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """(3, h, w) of the source with what `sdr` changed in its view; the costly way back for that alone."""
    changed = (sdr != view.to_sdr(source)).any(dim=0)
    if mask is not None:
        changed &= mask > 0
    pixels = changed.flatten().nonzero().flatten()
    old, new = (picture.flatten(1).index_select(1, pixels)[..., None] for picture in (source, sdr))
    composed: torch.Tensor = view.composite(old, new)
    return source.flatten(1).index_copy(1, pixels, composed[..., 0]).reshape(source.shape)


def _one_size(frames: Sequence[int], boxes: Sequence[Box]) -> tuple[int, int]:
    """(height, width) of all boxes."""
    if len(frames) != len(boxes) or not boxes:
        raise ValueError(f"{len(frames)} frames and {len(boxes)} boxes, expected as many, at least one")
    sizes = {(box.height, box.width) for box in boxes}
    if len(sizes) > 1:
        raise ValueError(f"boxes of one call have one size, found {sorted(sizes)} (height, width)")
    return sizes.pop()


def _nearest(box: Box, format: PictureFormat) -> Box:
    """The pixels of the stored picture that a box shows, the edge for what hangs over."""
    xs = [min(max(x, 0), format.width - 1) for x in (box.x0, box.x1 - 1)]
    ys = [min(max(y, 0), format.height - 1) for y in (box.y0, box.y1 - 1)]
    return Box(xs[0], ys[0], xs[1] + 1, ys[1] + 1)


def _positions(start: int, end: int, first: int, last: int) -> npt.NDArray[np.int64]:
    """[start, end) with those outside [first, last) moved to its edge."""
    return np.arange(start, end, dtype=np.int64).clip(first, last - 1)


def _take(values: torch.Tensor, axis: int, positions: npt.NDArray[np.int64]) -> torch.Tensor:
    return values.index_select(axis, torch.from_numpy(positions).to(values.device))


def _widened(tint: torch.Tensor, start: int, end: int, shift: int) -> torch.Tensor:
    """(C, h, cells) -> (C, h, end - start): each cell's value for every pixel it covers."""
    if shift == 0:
        return tint
    # A complex number with equal parts is the value twice in memory: five times as fast as an index.
    twice = torch.view_as_real(torch.complex(tint, tint)).flatten(2)
    return twice[..., start & 1 : (start & 1) + end - start]


def _above_zero(mask: torch.Tensor) -> torch.Tensor:
    """1.0 where the mask is above 0, else 0.0."""
    return torch.gt(mask, 0, out=torch.empty(mask.shape, dtype=torch.float32, device=mask.device))


def _overlaps(first: int, last: int, shift: int, start: int, end: int) -> npt.NDArray[np.float32]:
    """How many of [start, end) each cell [i << shift, (i + 1) << shift) of [first, last) covers."""
    cells = np.arange(first, last, dtype=np.int64)
    counts = np.minimum((cells + 1) << shift, end) - np.maximum(cells << shift, start)
    return np.asarray(counts, np.float32)


def _cell_sums(values: torch.Tensor, box: Box, sx: int, sy: int) -> torch.Tensor:
    """(C, h, w) over a stored box -> (C, cells down, cells across): sums over each chroma cell."""
    if sx == 0 and sy == 0:
        return values
    left, top = box.x0 & ((1 << sx) - 1), box.y0 & ((1 << sy) - 1)
    right, bottom = -box.x1 & ((1 << sx) - 1), -box.y1 & ((1 << sy) - 1)
    if left or top or right or bottom:
        values = functional.pad(values, (left, right, top, bottom))
    if sy:
        values = values[:, 0::2] + values[:, 1::2]
    if sx:
        values = values[..., 0::2] + values[..., 1::2]
    return values
