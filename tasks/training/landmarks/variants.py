"""New faces from labelled ones: other mouth shapes and mixtures of two people; labels are made anew.

More identities help the network more than more time, and
footage that may train what ships is scarce; these variants widen what there is.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from tasks.faces import points as face

Picture = NDArray[np.uint8]
Points = NDArray[Any]

_NO_SECOND_MAP = np.empty(0, np.float32)
_UPPER = range(face.INNER_LEFT, face.INNER_RIGHT + 1)
_LOWER = (face.INNER_LEFT, *range(31, 22, -1), face.INNER_RIGHT)


#: A mouth shows teeth where its inner lips part by this much of the outer-eye distance on average...
_PARTED = 0.02
#: ...and the brightest fifth between them is at least this bright, and it all less red, beside the lips.
_BRIGHT, _RED = 1.1, 0.995


@dataclass(frozen=True)
class MouthRange:
    """The mouths that `other_mouth` makes: odds of shut, slightly and wide open, and what shows between."""

    odds: tuple[float, float, float]
    widths: tuple[float, float]
    slight: tuple[float, float]
    "the gap between the lips, in half widths of the mouth"
    teeth: float
    "how often teeth are painted where the lips were parted by force"
    strip: tuple[float, float]
    "how far down the teeth reach; 1: to the lower lip"


ANY_MOUTH = MouthRange((0.25, 0.4, 0.35), (0.78, 1.18), (0.03, 0.3), 0.7, (0.2, 0.6))
SMILE = MouthRange((0.0, 1.0, 0.0), (0.95, 1.22), (0.12, 0.5), 1.0, (0.6, 1.3))


def shows_teeth(crop: Picture, points: Points) -> bool:
    """Whether the lips are parted and what lies between them is brighter and less red than they are."""
    size = float(np.hypot(*(points[face.EYE_RIGHT_OUTER] - points[face.EYE_LEFT_OUTER])))
    gap = float(np.mean([np.hypot(*(points[b] - points[a])) for a, b in face.INNER_GAPS]))
    if gap < _PARTED * size:
        return False
    between, mouth = (
        cv2.fillPoly(np.zeros(crop.shape[:2], np.uint8), [points[part].round().astype(np.int32)], 1)
        for part in (face.INNER_LIP, face.OUTER_LIP)
    )
    lips = cv2.subtract(mouth, between)
    if not lips.any():
        return False
    inside, around = crop[between > 0].astype(float) + 1, crop[lips > 0].mean(0) + 1
    bright = float(np.percentile(inside.mean(1), 80)) / around.mean()
    redness = inside[:, 0].mean() / inside.mean() * around.mean() / around[0]
    return bool(bright > _BRIGHT and redness < _RED)


def other_mouth(crop: Picture, points: Points, rng: Generator, wanted: MouthRange = ANY_MOUTH) -> Picture:
    """`crop` (S, S, 3) with its mouth opened, closed, widened or rounded by a random amount."""
    left, right = points[face.INNER_LEFT], points[face.INNER_RIGHT]
    half = max(2.0, float(np.hypot(*(right - left))) / 2)
    along = (right - left) / (2 * half)
    down = np.array([-along[1], along[0]])
    centre = (left + right) / 2
    local = np.stack(((points - centre) @ along, (points - centre) @ down), -1) / half
    y, x = np.mgrid[0 : crop.shape[0], 0 : crop.shape[1]].astype(np.float32)
    s = ((x - centre[0]) * along[0] + (y - centre[1]) * along[1]) / half
    t = ((x - centre[0]) * down[0] + (y - centre[1]) * down[1]) / half
    s = _other_width(s, t, float(rng.uniform(*wanted.widths)))
    t, cavity, depth = _other_opening(s, t, local, rng, wanted)
    back = centre + half * (s[..., None] * along + t[..., None] * down)
    out = cv2.remap(crop, back.astype(np.float32), _NO_SECOND_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return _painted(np.asarray(out, np.uint8), crop, points, cavity, depth, rng, wanted)


def _other_width(s: Points, t: Points, factor: float) -> Points:
    fade = np.exp(-((np.abs(s) / 1.6) ** 4) - (t / 1.3) ** 2)
    return np.asarray(s * (1 + (1 / factor - 1) * fade), np.float32)


def _other_opening(
    s: Points, t: Points, local: Points, rng: Generator, mouths: MouthRange
) -> tuple[Points, NDArray[np.bool_], Points]:
    """Where each pixel's t comes from, which pixels lie between the new lips, and how deep (0 to 1)."""
    upper = np.interp(s, local[list(_UPPER), 0], local[list(_UPPER), 1]).astype(np.float32)
    lower = np.interp(s, local[list(_LOWER), 0], local[list(_LOWER), 1]).astype(np.float32)
    lower = np.maximum(lower, upper)
    gap = float(np.mean([local[b, 1] - local[a, 1] for a, b in face.INNER_GAPS]))
    wanted = float(rng.choice([0.0, rng.uniform(*mouths.slight), rng.uniform(0.2, 0.9)], p=mouths.odds))
    change = wanted - max(gap, 0.0)
    arch = np.clip(1 - s * s, 0, 1) ** 0.6
    jaw = np.clip(np.cos(np.clip(np.abs(s) / 1.7, 0, 1) * np.pi / 2), 0, 1) ** 1.5
    lift, drop = 0.2 * change * arch, 0.8 * change * arch
    new_upper, new_lower = upper - lift, np.maximum(lower + drop, upper - lift)
    above, below = np.clip(new_upper - t, 0, None), np.clip(t - new_lower, 0, None)
    mixed = np.where(below < 0.5, arch + (jaw - arch) * np.clip(below / 0.5, 0, 1), jaw)
    moved = np.where(t < new_upper, t + 0.2 * change * arch * np.exp(-((above / 0.8) ** 2)), t)
    moved = np.where(t > new_lower, t - 0.8 * change * mixed * np.exp(-((below / 2.4) ** 4)), moved)
    depth = np.clip((t - new_upper) / np.maximum(new_lower - new_upper, 1e-3), 0, 1)
    inside = (t >= new_upper) & (t <= new_lower) & (np.abs(s) < 1) & (new_lower - new_upper > 0.01)
    moved = np.where(inside, upper + depth * (lower - upper), moved)
    paint = inside & (max(gap, 0.0) < 0.5 * wanted)
    return moved.astype(np.float32), paint, depth.astype(np.float32)


def _painted(
    out: Picture,
    crop: Picture,
    points: Points,
    cavity: NDArray[np.bool_],
    depth: Points,
    rng: Generator,
    mouths: MouthRange,
) -> Picture:
    """`out` with a dark cavity, mostly with a strip of teeth, where the lips were parted by force."""
    if not cavity.any():
        return out
    inside = cv2.fillPoly(np.zeros(crop.shape[:2], np.uint8), [points[face.OUTER_LIP].astype(np.int32)], 1)
    lip = cv2.mean(crop, inside)
    dark = np.array(lip[:3]) * rng.uniform(0.1, 0.45) * np.array([1.0, 0.8, 0.8])
    colour = np.broadcast_to(dark, crop.shape).copy()
    if rng.random() < mouths.teeth:
        teeth = np.clip(np.array([1.0, 0.97, 0.9]) * max(lip[:3]) * rng.uniform(0.8, 1.4), 0, 245)
        strip = np.clip((rng.uniform(*mouths.strip) - depth) * 12, 0, 1)[..., None]
        colour = colour * (1 - strip) + teeth * strip
    if rng.random() < 0.4:
        tongue = np.clip((depth - rng.uniform(0.55, 0.85)) * 8, 0, 1)[..., None]
        colour = colour * (1 - tongue) + np.array(lip[:3]) * rng.uniform(0.6, 1.0) * tongue
    alpha = cv2.GaussianBlur(cavity.astype(np.float32), (0, 0), float(rng.uniform(0.6, 1.4)))[..., None]
    return np.asarray(np.clip(out * (1 - alpha) + colour * alpha, 0, 255), np.uint8)


def mixture(a: Picture, mesh_a: Points, b: Picture, mesh_b: Points, rng: Generator) -> Picture:
    """A face between, or beyond, two: shape and skin are mixed by separate random amounts."""
    shape = float(rng.uniform(-0.35, 1.0))
    skin = float(rng.choice([0.0, rng.uniform(0.2, 0.8)]))
    target = (1 - shape) * mesh_a + shape * mesh_b
    out = _moved(a, mesh_a, target).astype(np.float32)
    if skin:
        out = (1 - skin) * out + skin * _moved(b, mesh_b, target).astype(np.float32)
    return np.asarray(np.clip(out, 0, 255), np.uint8)


def _moved(picture: Picture, mesh: Points, target: Points) -> Picture:
    """`picture` moved so that `mesh` lies about on `target`; its border stays."""
    side = picture.shape[0]
    cells = 64
    ring = np.arange(0, cells, 4)
    ends = np.zeros_like(ring), np.full_like(ring, cells - 1)
    edge = np.concatenate([np.stack(p, -1) for e in ends for p in ((ring, e), (e, ring))])
    at = np.concatenate((np.clip(target * cells / side, 0, cells - 1).round().astype(int), edge))
    shift = np.concatenate((mesh - target, np.zeros_like(edge)))
    field: Points = np.zeros((cells, cells, 3), np.float32)
    np.add.at(field, (at[:, 1], at[:, 0]), np.c_[shift, np.ones(len(shift))].astype(np.float32))
    near, far = (cv2.GaussianBlur(field, (0, 0), sigma) for sigma in (1.2, 5.0))
    field = near + 0.02 * far
    field = field[..., :2] / np.maximum(field[..., 2:], 1e-6)
    fine = cv2.resize(field, (side, side), interpolation=cv2.INTER_LINEAR)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    back = fine + np.stack((x, y), -1)
    out = cv2.remap(picture, back, _NO_SECOND_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)
