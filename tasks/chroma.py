"""Chroma planes brought to their luma's size and back with regard to where samples are sited; knows no colour.

Between neighbours lie straight lines up, and the same weights down: smooth where regions of
`tasks.device_batch` are exact instead, for pictures that get another size and keep no sample anyway.
"""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from tasks.picture import PictureFormat

#: Siting by AVChromaLocation: 2 and 6 lie between columns, 3 and 4 on the first row, 5 and 6 on the last.
_BETWEEN_COLUMNS: Final = (2, 4, 6)
_ON_FIRST_ROW: Final = (3, 4)
_ON_LAST_ROW: Final = (5, 6)


@dataclass(frozen=True)
class Siting:
    """Where chroma lies along one axis, in luma samples."""

    shift: int
    "A chroma sample stands for `2 ** shift` luma samples."
    offset: float
    "Of the first chroma sample from the first luma sample."


def siting(format: PictureFormat) -> tuple[Siting, Siting]:
    """(down, across); where the source says nothing: on the first column, between rows, as MPEG-2 and later."""
    layout, location = format.layout, format.colour.chroma_location
    down = 0.0 if location in _ON_FIRST_ROW else 1.0 if location in _ON_LAST_ROW else 0.5
    across = 0.5 if location in _BETWEEN_COLUMNS else 0.0
    return (
        Siting(layout.chroma_shift_y, down if layout.chroma_shift_y else 0.0),
        Siting(layout.chroma_shift_x, across if layout.chroma_shift_x else 0.0),
    )


def spread(plane: Tensor, size: tuple[int, int], where: tuple[Siting, Siting]) -> Tensor:
    """(h, w) chroma as (H, W): straight lines between samples, the outermost held."""
    for axis, (length, site) in enumerate(zip(size, where, strict=True)):
        plane = _spread(plane, axis, length, site)
    return plane


def gathered(plane: Tensor, where: tuple[Siting, Siting]) -> Tensor:
    """(H, W) as (h, w) chroma: each sample the mean of what it stands for, weighted by distance."""
    for axis, site in enumerate(where):
        plane = _gathered(plane, axis, site)
    return plane


def _spread(plane: Tensor, axis: int, length: int, site: Siting) -> Tensor:
    if site.shift == 0:
        return plane
    at = (torch.arange(length, device=plane.device) - site.offset) / (1 << site.shift)
    low = at.floor()
    share = (at - low).to(plane.dtype)
    last = plane.shape[axis] - 1
    first, second = (
        plane.index_select(axis, (low.long() + step).clamp(0, last)) for step in (0, 1)
    )  # fmt: skip
    return first.lerp(second, share[:, None] if axis == 0 else share)


def _gathered(plane: Tensor, axis: int, site: Siting) -> Tensor:
    if site.shift == 0:
        return plane
    cell = 1 << site.shift
    length = plane.shape[axis]
    centres = cell * torch.arange(-(-length // cell), device=plane.device)
    total: Tensor | None = None
    for tap, weight in _taps(site):
        part = plane.index_select(axis, (centres + tap).clamp(0, length - 1)) * weight
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def _taps(site: Siting) -> list[tuple[int, float]]:
    """(luma sample from a cell's first, weight): a triangle of one cell on either side of the site."""
    cell = 1 << site.shift
    near = [(tap, 1 - abs(tap - site.offset) / cell) for tap in range(-cell, 2 * cell + 1)]
    inside = [(tap, weight) for tap, weight in near if weight > 0]
    whole = sum(weight for _, weight in inside)
    return [(tap, weight / whole) for tap, weight in inside]
