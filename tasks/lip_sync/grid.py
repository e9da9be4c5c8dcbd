"""Nodes spread over rectangles of pixels, and the rectangles that a mouth needs; pure arithmetic.

What changes smoothly over a picture is worked out at nodes, for a whole batch at once, and spread
to pixels where it is drawn (see `sampling`).  Rows of nodes stand a little beyond the rectangle, so
that every pixel lies between some.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.shape import Array, MouthShape

Boxes = NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """Nodes over N rectangles, in the mouth frame."""

    x: Array
    "(N, rows, columns)"
    y: Array
    "(N, rows, columns)"


def margin(pixels: int, nodes: int) -> int:
    """By how many pixels `nodes` cells reach beyond either end of a side, so that half of one does."""
    return -(-pixels // (2 * (nodes - 1)))


def lay_grid(shape: MouthShape, boxes: Boxes, rows: int, columns: int) -> Grid:
    """Nodes over `boxes` (N, 4), which are counted in the pixels that `shape` is in."""
    across = _positions(boxes[:, 0], boxes[:, 2], columns)[:, None, :] - shape.origin[:, 0, None, None]
    down = _positions(boxes[:, 1], boxes[:, 3], rows)[:, :, None] - shape.origin[:, 1, None, None]
    cosine, sine = ((shape.axis[:, i] / shape.half_width)[:, None, None] for i in range(2))
    return Grid(across * cosine + down * sine, down * cosine - across * sine)


def node_maps(boxes: Boxes, rows: int, columns: int) -> Array:
    """(N, 2, 3) from numbers of nodes, across and down, to the pixels that `boxes` (N, 4) are counted in."""
    maps = np.zeros((len(boxes), 2, 3))
    for axis, nodes in enumerate((columns, rows)):
        places = _positions(boxes[:, axis], boxes[:, axis + 2], nodes)
        maps[:, axis, axis], maps[:, axis, 2] = places[:, 1] - places[:, 0], places[:, 0]
    return maps


def _positions(first: NDArray[np.int64], last: NDArray[np.int64], nodes: int) -> Array:
    """(N, nodes) where the middles of the cells lie, in pixels."""
    beyond = np.asarray([margin(size, nodes) for size in (last - first).tolist()])
    cell = (last - first + 2 * beyond) / nodes
    positions: Array = (first - beyond - 0.5)[:, None] + (np.arange(nodes) + 0.5) * cell[:, None]
    return positions


def boxes_about(shape: MouthShape, frame: Array, align: int) -> Boxes:
    """The smallest pixel rectangles on a grid of `align` that hold `frame` (N, 4): left, top, right, bottom."""
    corners = np.stack([frame[:, [0, 1]], frame[:, [2, 1]], frame[:, [0, 3]], frame[:, [2, 3]]], axis=1)
    columns, rows = shape.to_pixels(corners)
    low = np.floor(np.stack([columns.min(axis=1), rows.min(axis=1)], axis=-1) / align).astype(np.int64)
    high = np.ceil((np.stack([columns.max(axis=1), rows.max(axis=1)], axis=-1) + 1) / align).astype(np.int64)
    return np.concatenate([low, np.maximum(high, low + 1)], axis=-1) * align


def of_one_size(boxes: Boxes) -> Boxes:
    """The boxes, grown to the right and downwards to the size of the largest."""
    largest = (boxes[:, 2:] - boxes[:, :2]).max(axis=0)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + largest], axis=-1)
