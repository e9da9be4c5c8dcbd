"""Scenes drawn for training: overlapping shapes, stripes and letters with sharp edges, smoothed as a lens would.

What covers what follows the dead-leaves model (Lee, Mumford, Huang 2001), whose statistics are those of
photographs; nobody holds rights in them.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]

_FINER: Final = 3
"Drawn so many times larger and averaged."
_FONTS: Final = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX, cv2.FONT_ITALIC)
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def scene(rng: np.random.Generator, side: int = 320) -> Codes:
    """(side, side) luma."""
    size = side * _FINER
    canvas = np.full((size, size), float(rng.uniform(30, 220)), np.float32)
    for _ in range(int(rng.integers(60, 260))):
        # Sizes by an inverse-cube law: as many small things as photographs have.
        radius = float(size * 0.012 * (1 - rng.random() * 0.998) ** -0.5)
        _shape(canvas, rng, min(radius, size * 0.4))
    for _ in range(int(rng.integers(0, 5))):
        _words(canvas, rng)
    blurred = cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.3, 1.1)) * _FINER / 2)
    small = cv2.resize(blurred, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(np.rint(small).clip(0, 255), np.uint8)


def _shape(canvas: NDArray[np.float32], rng: np.random.Generator, radius: float) -> None:
    """A disc, a polygon or a line, evenly grey, shaded or striped."""
    size = canvas.shape[0]
    centre = rng.uniform(0, size, 2)
    mask = np.zeros(canvas.shape, np.uint8)
    kind = rng.random()
    if kind < 0.35:
        axes = np.maximum(1, radius * rng.uniform(0.4, 1.0, 2)).astype(int)
        middle = (int(centre[0]), int(centre[1]))
        cv2.ellipse(mask, middle, (int(axes[0]), int(axes[1])), float(rng.uniform(0, 180)), 0, 360, 1, -1)
    elif kind < 0.75:
        angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
        reach = radius * rng.uniform(0.6, 1.2, len(angles))
        corners = centre + np.stack((np.cos(angles), np.sin(angles)), 1) * reach[:, None]
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    else:
        other = centre + rng.normal(0, 1, 2) * radius * 4
        ends = [(int(p[0]), int(p[1])) for p in (centre, other)]
        cv2.line(mask, ends[0], ends[1], 1, int(rng.integers(1, 4 * _FINER)))
    box = cv2.boundingRect(mask)
    if box[2] and box[3]:
        part = np.s_[box[1] : box[1] + box[3], box[0] : box[0] + box[2]]
        canvas[part] = np.where(mask[part] > 0, _filling((box[3], box[2]), rng), canvas[part])


def _filling(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    tone = float(rng.uniform(0, 255))
    down, across = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    angle = float(rng.uniform(0, np.pi))
    along = np.cos(angle) * across + np.sin(angle) * down
    kind = rng.random()
    if kind < 0.4:
        return np.full(shape, tone, np.float32)
    if kind < 0.7:
        return np.asarray(tone + along * float(rng.normal(0, 0.3)), np.float32)
    period = float(rng.uniform(3, 24)) * _FINER
    other = float(rng.uniform(0, 255))
    if kind < 0.9:
        return np.asarray(np.where(np.mod(along, period) < period / 2, tone, other), np.float32)
    grain = rng.normal(0, float(rng.uniform(2, 25)), (-(-shape[0] // _FINER), -(-shape[1] // _FINER)))
    fine = cv2.resize(grain.astype(np.float32), (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(tone + fine.reshape(shape), np.float32)


def _words(canvas: NDArray[np.float32], rng: np.random.Generator) -> None:
    size = canvas.shape[0]
    text = "".join(rng.choice(list(_LETTERS), int(rng.integers(3, 14))))
    at = (int(rng.uniform(-0.1, 0.7) * size), int(rng.uniform(0.1, 1) * size))
    font, scale = int(rng.choice(_FONTS)), float(rng.uniform(0.35, 1.6)) * _FINER
    thickness = int(rng.integers(1, 3)) * _FINER // 2 + 1
    cv2.putText(canvas, text, at, font, scale, float(rng.uniform(0, 255)), thickness, cv2.LINE_AA)
