"""A frame as overlapping tiles of one size, and a network over them without a seam; knows no planes or codes.

The grid depends on the frame's size alone, so every segment tiles alike.  A tile never hangs over the frame:
at the frame's border the network sees what it would see of the whole frame, and inside it every kept pixel
has `margin` pixels round it.  Where the margin is the network's receptive radius, tiles are exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from tasks.turning import Box


class Enlarging(Protocol):
    """A network that enlarges by a whole factor frames whose sides are multiples of `multiple`."""

    @property
    def scale(self) -> int: ...

    @property
    def multiple(self) -> int: ...

    @property
    def margin(self) -> int:
        """Pixels that tiles see around what is kept of them."""

    def __call__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Tile:
    """A part of the frame that a network sees, and the part of that which is kept."""

    seen: Box
    kept: Box
    "Within `seen`; those of a grid cover the frame once."


@dataclass(frozen=True)
class Grid:
    """Tiles of one size over a frame of `width` x `height`."""

    width: int
    height: int
    tiles: tuple[Tile, ...]

    @property
    def tile_width(self) -> int:
        return self.tiles[0].seen.width

    @property
    def tile_height(self) -> int:
        return self.tiles[0].seen.height


def plan_tiles(width: int, height: int, *, side: int, margin: int, multiple: int = 1) -> Grid:
    """The fewest tiles of at most `side` pixels a side that overlap by at least twice `margin`.

    Sides of the frame, which `padded` made multiples of `multiple`, are those of the tiles where they are
    no longer than `side`; tiles begin at multiples too.
    """
    if width % multiple or height % multiple or side % multiple:
        raise ValueError(f"frame {width}x{height} and tiles of {side} must be multiples of {multiple}")
    columns = _spans(width, side, margin, multiple)
    rows = _spans(height, side, margin, multiple)
    return Grid(
        width,
        height,
        tuple(
            Tile(
                Box(across.seen[0], down.seen[0], across.seen[1], down.seen[1]),
                Box(across.kept[0], down.kept[0], across.kept[1], down.kept[1]),
            )
            for down in rows
            for across in columns
        ),
    )


def tile_count(width: int, height: int, *, side: int, margin: int, multiple: int = 1) -> int:
    """How many `plan_tiles` makes of a frame that `padded` would pad first."""
    across, down = width + -width % multiple, height + -height % multiple
    return len(plan_tiles(across, down, side=side, margin=margin, multiple=multiple).tiles)


def even_call(tiles: int, most: int) -> int:
    """Tiles in each call where as few calls as `most` at once allow do all, and the last has fewest places empty.

    Filled up with tiles of other videos a call would waste no place either, but wait for them.
    """
    calls = -(-tiles // most)
    return -(-tiles // calls)


def padded(pictures: Tensor, multiple: int) -> Tensor:
    """(N, 3, H, W) with the border reflected to the right and below up to the next multiple."""
    down, across = -pictures.shape[2] % multiple, -pictures.shape[3] % multiple
    if not (down or across):
        return pictures
    mode = "reflect" if down < pictures.shape[2] and across < pictures.shape[3] else "replicate"
    return F.pad(pictures, (0, across, 0, down), mode=mode)


def enlarged_tiles(
    network: Enlarging, pictures: Tensor, grid: Grid, tiles_at_once: int
) -> Iterator[tuple[int, Box, Tensor]]:
    """(picture, box of the enlarged frame, its (3, h, w) pixels) for every tile of (N, 3, H, W) pictures.

    Every batch that the network sees has one shape, the last filled up with its own last tile; a caller that
    writes each box away at once never holds an enlarged frame on the device.
    """
    work = [(picture, tile) for picture in range(len(pictures)) for tile in grid.tiles]
    for start in range(0, len(work), tiles_at_once):
        some = work[start : start + tiles_at_once]
        seen = [_cut(pictures[picture], tile.seen) for picture, tile in some]
        seen += seen[-1:] * (tiles_at_once - len(seen))
        enlarged = network(torch.stack(seen))  # (tiles, 3, h, w) -> (tiles, 3, s h, s w)
        for (picture, tile), whole in zip(some, enlarged, strict=False):
            yield picture, _scaled(tile.kept, network.scale), _cut(whole, _scaled(_within(tile), network.scale))


def enlarge(network: Enlarging, pictures: Tensor, *, side: int, margin: int, tiles_at_once: int = 1) -> Tensor:
    """(N, 3, H, W) -> (N, 3, scale * H, scale * W) through tiles; for frames that fit whole besides."""
    even = padded(pictures, network.multiple)
    grid = plan_tiles(even.shape[3], even.shape[2], side=side, margin=margin, multiple=network.multiple)
    scale = network.scale
    if len(grid.tiles) == 1 and len(pictures) == tiles_at_once:
        out = network(even)  # The same call, without a copy.
    else:
        out = pictures.new_empty((len(pictures), 3, scale * grid.height, scale * grid.width))
        for picture, box, pixels in enlarged_tiles(network, even, grid, tiles_at_once):
            out[picture, :, box.y0 : box.y1, box.x0 : box.x1] = pixels
    return out[..., : scale * pictures.shape[2], : scale * pictures.shape[3]]


@dataclass(frozen=True)
class _Span:
    """One tile along one axis."""

    seen: tuple[int, int]
    kept: tuple[int, int]


def _spans(length: int, side: int, margin: int, multiple: int) -> list[_Span]:
    if length <= side:
        return [_Span((0, length), (0, length))]
    step = (side - 2 * margin) // multiple * multiple
    if step <= 0:
        raise ValueError(f"tiles of {side} with a margin of {margin} keep nothing: expected more than {2 * margin}")
    count = 1 - (side - length) // step
    # Evenly spread, at multiples: neighbours begin at most `step` apart, the last ends with the frame.
    starts = [(length - side) // multiple * i // (count - 1) * multiple for i in range(count)]
    cuts = [0, *(_middle(first + side, second) for first, second in pairwise(starts)), length]
    return [_Span((start, start + side), kept) for start, kept in zip(starts, pairwise(cuts), strict=True)]


def _middle(end: int, start: int) -> int:
    return (start + end) // 2


def _within(tile: Tile) -> Box:
    """The kept part as the tile counts."""
    x, y = tile.seen.x0, tile.seen.y0
    return Box(tile.kept.x0 - x, tile.kept.y0 - y, tile.kept.x1 - x, tile.kept.y1 - y)


def _scaled(box: Box, scale: int) -> Box:
    return Box(scale * box.x0, scale * box.y0, scale * box.x1, scale * box.y1)


def _cut(picture: Tensor, box: Box) -> Tensor:
    return picture[:, box.y0 : box.y1, box.x0 : box.x1]
