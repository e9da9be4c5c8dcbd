"""One training picture from one labelled crop: where it is cut, and what light, lens and codec do to it."""

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.faces import points as face
from tasks.faces.region import SIDE, region_of_points

Picture = NDArray[Any]
Points = NDArray[Any]
Mask = NDArray[Any]

_NO_SECOND_MAP = np.empty(0, np.float32)


def example(
    crop: NDArray[np.uint8], points: Points | None, shape: Points, rng: Generator
) -> tuple[NDArray[np.uint8], Points, float, float]:
    """Network input (112, 112, 3), its points relative to the region, 1 for a face, 1 for a hidden mouth."""
    here = region_of_points(points if points is not None else _no_face_points(crop.shape[0], shape), shape)
    displaced = points is None or rng.random() < 0.08
    matrix = here @ _jitter(rng, displaced and points is not None)
    if points is not None and not displaced and rng.random() < 0.5:
        crop, points = crop[:, ::-1], _mirrored(points, crop.shape[1])
        here = region_of_points(points, shape)
        matrix = here @ _jitter(rng, False)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(np.ascontiguousarray(crop), matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    relative = np.zeros((face.POINTS, 2), np.float32)
    if points is not None:
        back = cv2.invertAffineTransform(matrix)
        inside = points @ back[:, :2].T + back[:, 2]
        if rng.random() < 0.3:
            cut, inside = _bent(cut, inside, rng)
        relative = ((inside - (SIDE - 1) / 2) / SIDE).astype(np.float32)
    hidden = 0.0
    if rng.random() < 0.3:
        cut, hidden = _occluded(cut, relative, rng)
    return _seen(cut, rng), relative, 0.0 if displaced else 1.0, hidden


def _no_face_points(side: int, shape: Points) -> Points:
    return ((shape + 0.5) * side * 0.62 + side * 0.19).astype(np.float32)


def _mirrored(points: Points, width: int) -> Points:
    out = points[list(face.MIRROR)].copy()
    out[:, 0] = width - 1 - out[:, 0]
    return out


def _jitter(rng: Generator, displaced: bool) -> NDArray[np.float64]:
    """(3, 3): half as a tracker errs, half as a cascade errs; displaced: so far off that it is no face."""
    shift, scale, angle = (0.04, 0.06, 10.0) if rng.random() < 0.5 else (0.085, 0.13, 25.0)
    k = float(np.exp(rng.normal(0, scale * 0.8)))
    turn = np.radians(rng.uniform(-angle, angle))
    x, y = rng.normal(0, shift * 0.8, 2) * SIDE
    if displaced and rng.random() < 0.4:  # beside the face
        away = rng.uniform(0, 2 * np.pi)
        x, y = np.array([np.cos(away), np.sin(away)]) * rng.uniform(0.45, 0.8) * SIDE
        k *= float(rng.choice([1.0, 1.5]))
    elif displaced:  # a part of it: cascades take an eye or a mouth for a face
        x, y = rng.uniform(-0.34, 0.34, 2) * SIDE
        k *= float(rng.uniform(0.16, 0.5))
    linear = k * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.array([[1, rng.normal(0, 0.04)], [rng.normal(0, 0.02), np.exp(rng.normal(0, 0.04))]])
    middle = np.array([(SIDE - 1) / 2] * 2)
    out = np.eye(3)
    out[:2, :2] = linear
    out[:2, 2] = middle - linear @ middle + (x, y)
    return out


def _bent(cut: Picture, points: Points, rng: Generator) -> tuple[Picture, Points]:
    """A smooth non-rigid warp of up to some 4 pixels, and the points moved with it."""
    coarse = rng.normal(0, rng.uniform(0.5, 2.2), (5, 5, 2)).astype(np.float32)
    field = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    out = cv2.remap(
        cut, np.stack((x, y), -1) + field, _NO_SECOND_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    moved = points
    for _ in range(2):  # the map tells where pixels come from; points go the other way
        at = np.clip(moved.round().astype(int), 0, SIDE - 1)
        moved = points - field[at[:, 1], at[:, 0]]
    return np.asarray(out, np.uint8), moved.astype(np.float32)


def _seen(picture: Picture, rng: Generator) -> Picture:
    """The picture under other light, through another lens and codec; bytes in, bytes out."""
    chance = rng.random(7)
    if chance[0] < 0.25:
        picture = _low_resolution(picture, rng)
    if chance[1] < 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.4)))
    if chance[2] < 0.8:
        picture = _coloured(picture, rng)
    if chance[3] < 0.12:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if chance[4] < 0.35:
        picture = _lit_from_a_side(picture, rng)
    if chance[5] < 0.35:
        picture = _noisy(picture, rng)
    if chance[6] < 0.35:
        _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(18, 85))])
        picture = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return picture


def _low_resolution(picture: Picture, rng: Generator) -> Picture:
    side = int(rng.integers(26, 90))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    way = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return cv2.resize(small, (SIDE, SIDE), interpolation=way)


def _coloured(picture: Picture, rng: Generator) -> Picture:
    """Other saturation, white balance, gamma, contrast and brightness."""
    keep = rng.uniform(0.4, 1.5)
    mix = keep * np.eye(3) + (1 - keep) / 3
    picture = cv2.transform(picture, mix * np.exp(rng.normal(0, 0.1, 3))[:, None])
    curve = 255 * np.power(np.arange(256) / 255, np.exp(rng.normal(0, 0.3)))
    mean = float(picture[::4, ::4].mean())
    curve = (curve - mean) * np.exp(rng.normal(0, 0.25)) + mean + rng.normal(0, 18)
    return cv2.LUT(picture, np.clip(curve + 0.5, 0, 255).astype(np.uint8))


def _lit_from_a_side(picture: Picture, rng: Generator) -> Picture:
    turn, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.6)
    line = np.linspace(-1, 1, SIDE, dtype=np.float32)
    ramp = 1 + np.float32(strength) * (
        line[None, :] * np.float32(np.cos(turn)) + line[:, None] * np.float32(np.sin(turn))
    )
    return cv2.multiply(picture, cv2.merge((ramp, ramp, ramp)), dtype=cv2.CV_8U)


def _noisy(picture: Picture, rng: Generator) -> Picture:
    noise = np.empty(picture.shape, np.int16)
    cv2.randn(noise, np.zeros(1), np.full(1, rng.uniform(1, 9)))
    return cv2.add(picture, noise, dtype=cv2.CV_8U)


def _occluded(picture: Picture, relative: Points, rng: Generator) -> tuple[Picture, float]:
    """The picture with something in front of it, half the time the mouth; 1 where the mouth is hidden.

    A flat or noisy rectangle, or an ellipse filled with another part of the same picture (like a hand).
    """
    side = picture.shape[0]
    mouth = (relative[face.OUTER_LIP].mean(0) + 0.5) * side
    centre = mouth + rng.normal(0, 7, 2) if rng.random() < 0.55 else rng.uniform(0, side, 2)
    half = rng.uniform(6, 26, 2)
    mask: Mask = np.zeros((side, side), np.float32)
    if rng.random() < 0.4:
        low, high = (centre - half).astype(int).clip(0), (centre + half).astype(int).clip(0)
        mask[low[1] : high[1], low[0] : high[0]] = 1
        fill = rng.uniform(0, 255, 3) + rng.normal(0, rng.uniform(0, 25), picture.shape)
    else:
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(mask, centre.round().astype(int).tolist(), half.astype(int).tolist(), angle, 0, 360, 1.0, -1)
        mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.4, 1.5)))
        dx, dy = (int(v) for v in rng.integers(25, side - 25, 2))
        fill = np.roll(picture, (dy, dx), (0, 1)) * rng.uniform(0.7, 1.2)
    outline = ((relative[face.OUTER_LIP] + 0.5) * side).astype(np.int32)
    lips = cv2.fillPoly(np.zeros((side, side), np.uint8), [outline], 1)
    covered = float(mask[lips > 0].mean()) if lips.any() else 0.0
    out = picture * (1 - mask[..., None]) + fill * mask[..., None]
    return np.clip(out, 0, 255).astype(np.uint8), float(covered > 0.5)
