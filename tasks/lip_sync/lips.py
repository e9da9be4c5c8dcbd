"""What pixels of the lips and between them are made of, at nodes over a mouth; knows no colours and no device.

All that changes smoothly is worked out here for a whole batch; what has edges (a lip's, the line
between lips) is given as a distance, of which the pixels make an edge.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.bank import MouthBank, tone_places
from tasks.lip_sync.grid import Grid
from tasks.lip_sync.shape import Array, MouthShape, evaluate
from tasks.lip_sync.warp import LipTarget, move_places, on_places

#: Half the edge between lip and inside, in half widths, and at least in pixels.
EDGE: Final = 0.022
EDGE_PIXELS: Final = 0.7
#: Half the dark line between lips that are brought together, in half widths, and its depth.
SEAM: Final = 0.024
SEAM_DEPTH: Final = 0.5
#: Half the band about that line, in half widths, in which nothing may be brighter than lips or as dark as the inside:
#: what landmarks that err by a tooth's width leave of the teeth there.
TOOTHLESS: Final = 0.10
#: By how much that band is wider at the corners: landmarks cut off the dark wedge in which a broad smile ends.
CORNER_BAND: Final = 0.16
#: How far out it is drawn, in half widths of the mouth.
CORNER_REACH: Final = 1.18
#: Skin beside the corners of the source's mouth, above its line and below, in its half widths.
BESIDE_CORNERS: Final = (((1.20, -0.14), (1.30, -0.06)), ((1.20, 0.16), (1.30, 0.06)))
#: Lips are no darker than this share of the light about them, nor corners than that.
LIP_SHADE: Final = 0.6
CORNER_SHADE: Final = 0.86
#: Corners are dark in a mouth that is open by this much and more, in half widths.
HALF_SHUT: Final = 0.25
#: Nodes over the box of a mouth.
NODES: Final = (28, 48)


@dataclass(frozen=True)
class Lips:
    """Values at nodes over N mouths."""

    values: NDArray[np.float32]
    """(N, 9, rows, columns): offsets of what lies above the line where lips meet (across, down) and of what lies
    below it; how far below that line; how far inside of the upper lip's edge and of the lower one's, in pixels or
    in edges, 0 to 1; how much the inside is seen; its shade"""
    closed: NDArray[np.float32]
    """(N, 5, rows, columns): distance from the dark line between closed lips and its strength; how much is held
    against being brighter than lips, and darker; how dark it may be, as a share of lips' light"""
    light: NDArray[np.float32]
    "(N, 6, rows, columns) of which of the colours of `lip_places` the light there is"

    def at(self, frames: slice | NDArray[np.int64]) -> "Lips":
        """The values of some of the mouths."""
        return Lips(self.values[frames], self.closed[frames], self.light[frames])

    @property
    def open(self) -> bool:
        """Whether anything of an inside is seen."""
        return bool(self.values[:, 7].any())


def shape_lips(target: LipTarget, grid: Grid) -> Lips:
    """What N mouths are made of at the nodes of `grid`."""
    x, y = grid.x, grid.y
    half, closing, shut = (v[:, None, None] for v in (target.shape.half_width, target.closing, _shut(target)))
    motion = move_places(target, x, y)
    along = x / target.width[:, None, None]
    upper, lower = (on_places(curve, along) for curve in (target.upper, target.lower))
    gap, out = lower - upper, np.abs(along)
    edge = 2 * np.maximum(EDGE * half, EDGE_PIXELS)
    inside = ((y - upper) * half / edge + 0.5, (lower - y) * half / edge + 0.5)
    seen = soft(gap / 0.05) * soft((1.02 - out) / 0.10)
    shade = (1 - 0.20 * np.exp(-np.maximum((y - upper) / 0.10, 0))) * (1 - 0.30 * np.minimum(out, 1) ** 4)
    values = (*motion.above, *motion.below, motion.under * half + 0.5, *inside, seen, shade)
    line = (y - (upper + lower) / 2) * half / np.maximum(SEAM * half, EDGE_PIXELS)
    strength = SEAM_DEPTH * closing * np.exp(-((gap / 0.05) ** 2)) * soft((1.0 - out) / 0.35)
    corner = soft((out - 0.65) / 0.35)
    share, away = soft((CORNER_REACH - out) / 0.16) * closing, np.abs(motion.under)
    bright = share * (1 - soft(away / TOOTHLESS - 0.5))
    dark = share * shut * (1 - soft(away / (TOOTHLESS + CORNER_BAND * corner) - 0.5))
    closed = (line, strength, bright, dark, LIP_SHADE + (CORNER_SHADE - LIP_SHADE) * corner)
    light = _light(along, 0.7 * corner, soft(motion.under / TOOTHLESS + 0.5))
    return Lips(*(np.stack(one, axis=1).astype(np.float32) for one in (values, closed, light)))


def _shut(target: LipTarget) -> Array:
    return 1 - soft(target.opening / HALF_SHUT)


def _light(along: Array, corner: Array, below: Array) -> tuple[Array, ...]:
    """Shares of the six colours: left, middle, right of the upper lip and of the lower one."""
    left, right = np.where(along < 0, corner, 0), np.where(along < 0, 0, corner)
    three = (left, 1 - corner, right)
    return (*((1 - below) * one for one in three), *(below * one for one in three))


def mouth_frames(target: LipTarget) -> Array:
    """Left, top, right, bottom in the mouth frame of what lips and inside may be drawn in: (N, 4)."""
    x = np.linspace(-1, 1, 17)
    closing = target.closing > 0
    around = np.where(closing, 1.5 * (TOOTHLESS + CORNER_BAND), 0.12)
    reach = np.where(closing, CORNER_REACH, 1.05) * target.width
    upper, lower, meet = (evaluate(curve, x) for curve in (target.upper, target.lower, target.meet))
    top, bottom = np.minimum(upper, meet).min(axis=1) - around, np.maximum(lower, meet).max(axis=1) + around
    return np.stack([-reach, top, reach, bottom], axis=-1)


#: How many places of `colour_places` each of its means is made of: skin, then left, middle, right of either lip.
COLOUR_COUNTS: Final = (45, 2, 5, 2, 2, 5, 2)


def colour_places(shape: MouthShape) -> Array:
    """(N, 63, 2) pixels at which the light about a mouth is looked at, as `COLOUR_COUNTS` groups them."""
    columns, rows = shape.to_pixels(tone_places(shape))
    spread = shape.half_width[:, None, None] * np.asarray([-0.06, 0.0, 0.06])
    skin = np.stack([(columns[..., None] + spread).reshape(len(shape), -1), np.repeat(rows, 3, axis=1)], axis=-1)
    lips = np.stack(shape.to_pixels(_lip_places(shape)), axis=-1)
    return np.concatenate([skin, lips], axis=1)


def _lip_places(shape: MouthShape) -> Array:
    """(N, 18, 2) of the mouth frame: beside the left corner, on the lip, beside the right one; upper, then lower."""
    x = np.broadcast_to(np.asarray([-0.5, -0.25, 0.0, 0.25, 0.5]), (len(shape), 5))
    wide = x / shape.outer[:, None]
    upper = evaluate(shape.upper, x) - 0.55 * evaluate(shape.upper_thickness, wide)
    lower = evaluate(shape.lower, x) + 0.55 * evaluate(shape.lower_thickness, wide)
    groups = []
    for on_lip, beside in zip((upper, lower), BESIDE_CORNERS, strict=True):
        left, right = (np.broadcast_to(np.multiply(beside, (side, 1.0)), (len(shape), 2, 2)) for side in (-1, 1))
        groups += [left, np.stack([x, on_lip], axis=-1), right]
    return np.concatenate(groups, axis=1)


def inside_matrices(target: LipTarget, bank: MouthBank) -> Array:
    """(K, 2, N, 2, 3) from picture pixels to crop pixels of the K entries: rigid to the upper lip, to the lower one."""
    s = target.shape
    middle = np.linspace(-0.5, 0.5, 11)
    edges = [evaluate(curve, middle).mean(axis=1) for curve in (target.upper, target.lower)]
    along = s.axis / s.half_width[:, None]
    x_row = np.stack([along[:, 0], along[:, 1], -(s.origin * along).sum(axis=1)], axis=-1)
    y_row = np.stack([-along[:, 1], along[:, 0], s.origin[:, 0] * along[:, 1] - s.origin[:, 1] * along[:, 0]], axis=-1)
    across, down = (s.half_width / size for size in (s.eye_distance, s.nose_length))

    def row(step: Array, line: Array, zero: Array, place: float) -> Array:
        """place + (line - zero) * step, as a row of a matrix."""
        return step[:, None] * line + np.stack([0 * zero, 0 * zero, place - step * zero], axis=-1)

    matrices = []
    for entry in bank.entries:
        columns = row(across * entry.eye_distance, x_row, s.nose[:, 0], entry.nose_column)
        places = zip(edges, (entry.upper_row, entry.lower_row), strict=True)
        rows = [row(down * entry.nose_length, y_row, edge, place) for edge, place in places]
        matrices.append([np.stack([columns, one], axis=1) for one in rows])
    return np.asarray(matrices)


def soft(t: Array) -> Array:
    """0 below 0, 1 above 1, and a smooth step between."""
    t = np.clip(t, 0, 1)
    step: Array = t * t * (3 - 2 * t)
    return step
