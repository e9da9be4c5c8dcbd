"""One training picture from one labelled crop: where it is cut, and what light, lens and codec do to it."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.faces import points as face
from tasks.faces.region import SIDE, region_of_points

Picture = NDArray[np.float32]
Points = NDArray[np.float32]


def example(
    crop: NDArray[np.uint8], points: Points | None, shape: Points, rng: Generator
) -> tuple[NDArray[np.uint8], Points, float]:
    """Network input (112, 112, 3), its points relative to the region, and 1 for a face, 0 for none."""
    here = region_of_points(points if points is not None else _no_face_points(crop.shape[0], shape), shape)
    displaced = points is None or rng.random() < 0.05
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
    picture = _seen(cut.astype(np.float32), rng)
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8), relative, 0.0 if displaced else 1.0


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
    if displaced:
        away = rng.uniform(0, 2 * np.pi)
        x, y = np.array([np.cos(away), np.sin(away)]) * rng.uniform(0.45, 0.8) * SIDE
        k *= float(rng.choice([1.0, 0.45, 1.5]))
    linear = k * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = linear @ np.array([[1, rng.normal(0, 0.04)], [rng.normal(0, 0.02), np.exp(rng.normal(0, 0.04))]])
    middle = np.array([(SIDE - 1) / 2] * 2)
    out = np.eye(3)
    out[:2, :2] = linear
    out[:2, 2] = middle - linear @ middle + (x, y)
    return out


def _bent(cut: NDArray[np.uint8], points: Points, rng: Generator) -> tuple[NDArray[np.uint8], Points]:
    """A smooth non-rigid warp of up to some 4 pixels, and the points moved with it."""
    coarse = rng.normal(0, rng.uniform(0.5, 2.2), (5, 5, 2)).astype(np.float32)
    field = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    out = cv2.remap(cut, np.stack((x, y), -1) + field, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved = points
    for _ in range(2):  # the map tells where pixels come from; points go the other way
        at = np.clip(moved.round().astype(int), 0, SIDE - 1)
        moved = points - field[at[:, 1], at[:, 0]]
    return np.asarray(out, np.uint8), moved.astype(np.float32)


def _seen(picture: Picture, rng: Generator) -> Picture:
    """The picture under other light, through another lens and codec."""
    chance = rng.random(9)
    if chance[0] < 0.25:
        picture = _low_resolution(picture, rng)
    if chance[1] < 0.2:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.4)))
    if chance[2] < 0.8:
        picture = _coloured(picture, rng)
    if chance[3] < 0.35:
        picture = _lit_from_a_side(picture, rng)
    if chance[4] < 0.12:
        picture = np.repeat(picture.mean(-1, keepdims=True), 3, -1)
    if chance[5] < 0.2:
        picture = _occluded(picture, rng)
    if chance[6] < 0.35:
        picture = picture + rng.normal(0, rng.uniform(1, 9), picture.shape).astype(np.float32)
    if chance[7] < 0.35:
        good, coded = cv2.imencode(
            ".jpg", np.clip(picture, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(18, 85))]
        )
        picture = cv2.imdecode(coded, cv2.IMREAD_COLOR).astype(np.float32) if good else picture
    return picture


def _low_resolution(picture: Picture, rng: Generator) -> Picture:
    side = int(rng.integers(26, 90))
    small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    way = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=way), np.float32)


def _coloured(picture: Picture, rng: Generator) -> Picture:
    """Other exposure, contrast, gamma, white balance and saturation."""
    grey = picture.mean(-1, keepdims=True)
    picture = grey + (picture - grey) * np.float32(rng.uniform(0.4, 1.5))
    picture = picture * np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    gamma = np.float32(np.exp(rng.normal(0, 0.3)))
    picture = 255 * np.power(np.clip(picture / 255, 1e-4, 1), gamma)
    gain, mean = np.float32(np.exp(rng.normal(0, 0.25))), picture.mean()
    return np.asarray((picture - mean) * gain + mean + rng.normal(0, 18), np.float32)


def _lit_from_a_side(picture: Picture, rng: Generator) -> Picture:
    turn, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.6)
    line = np.linspace(-1, 1, SIDE, dtype=np.float32)
    ramp = line[None, :] * np.cos(turn) + line[:, None] * np.sin(turn)
    return np.asarray(picture * (1 + strength * ramp)[..., None], np.float32)


def _occluded(picture: Picture, rng: Generator) -> Picture:
    out = picture.copy()
    w, h = rng.integers(10, 45, 2)
    x, y = rng.integers(-10, SIDE - 10, 2)
    noise = rng.uniform(0, 255, 3) + rng.normal(0, rng.uniform(0, 25), (int(h), int(w), 3))
    x0, y0 = max(0, int(x)), max(0, int(y))
    x1, y1 = min(SIDE, int(x + w)), min(SIDE, int(y + h))
    out[y0:y1, x0:x1] = noise[y0 - int(y) : y1 - int(y), x0 - int(x) : x1 - int(x)]
    return out
