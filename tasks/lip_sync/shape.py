"""The mouth of a face as smooth curves, from its 51 points; pure arithmetic, knows no pictures.

Everything is said in the *mouth frame* of its face: the origin lies midway between the inner
corners of the lips, x runs along the line of the corners, y downwards across it, and the unit
is half the distance of those corners.  So the corners are at x = -1 and 1 whatever the size of
the face, and a curve of the lips is a function y(x).
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as layout

Array = NDArray[np.float64]

#: Between these lie the outer corners of lips (a smile; a pout), with inner corners at 1.
OUTER_LIMITS: Final = (1.06, 1.5)

_UPPER_INNER = tuple(range(13, 22))
_LOWER_INNER = tuple(range(23, 32))
_UPPER_OUTER = tuple(range(1, 6))
_LOWER_OUTER = tuple(range(7, 12))
_JAW_LEFT, _JAW_RIGHT = 33, 41

#: Gap (in eye distances) that the points of closed lips show.
REST_GAP: Final = 0.012
#: Shares of a parting that each point moves by: the upper lip up, the lower lip down.
_PARTING: Final = np.zeros(layout.POINTS)
_PARTING[[*_UPPER_OUTER, *_UPPER_INNER]] = -0.35
_PARTING[[*_LOWER_OUTER, *_LOWER_INNER]] = 0.65


@dataclass(frozen=True)
class MouthShape:
    """N mouths: where they are and the curves of their lips.

    A curve is four coefficients c of y(x) = (1 - x^2)(c0 + c1 x + c2 x^2 + c3 x^3) inside the
    corners and 0 outside; `*_thickness` is of the same form over x / outer.
    """

    origin: Array
    "(N, 2) pixels: middle between the inner corners"
    axis: Array
    "(N, 2) unit vector from the left corner to the right one"
    half_width: Array
    "(N,) pixels: half the distance of the inner corners"
    upper: Array
    "(N, 4) lower edge of the upper lip"
    lower: Array
    "(N, 4) upper edge of the lower lip"
    upper_thickness: Array
    "(N, 4) of the upper lip, positive"
    lower_thickness: Array
    "(N, 4) of the lower lip, positive"
    outer: Array
    "(N,) how far the outer corners are from the middle"
    nose: Array
    "(N, 2) x, y of the middle between the nostrils; y is negative"
    left: Array
    "(N,) how far the face reaches to the left, positive"
    right: Array
    "(N,) how far it reaches to the right, positive"
    chin: Array
    "(N,) y of the chin line"
    eye_distance: Array
    "(N,) pixels between the outer eye corners"
    nose_length: Array
    "(N,) pixels from the middle of the eyes to the nostrils"
    gap_places: Array
    "(N, 5) x of the five inner-lip gaps"

    def __len__(self) -> int:
        return len(self.half_width)

    def at(self, frames: slice | NDArray[np.int64]) -> "MouthShape":
        """The same values for some of the mouths."""
        return MouthShape(**{name: getattr(self, name)[frames] for name in self.__dataclass_fields__})

    def moved(self, corners: Array) -> "MouthShape":
        """The same mouths in pixels that are counted from `corners` (N, 2)."""
        return replace(self, origin=self.origin - corners)

    def to_pixels(self, places: Array) -> tuple[Array, Array]:
        """Columns and rows (N, K) of places (N, K, 2) of the mouth frame."""
        along, across = self.axis * self.half_width[:, None], self.axis[:, ::-1] * self.half_width[:, None]
        columns = self.origin[:, :1] + places[..., 0] * along[:, :1] - places[..., 1] * across[:, :1]
        rows = self.origin[:, 1:] + places[..., 0] * along[:, 1:] + places[..., 1] * across[:, 1:]
        return columns, rows


def measure_shape(points: NDArray[np.floating]) -> MouthShape:
    """The mouths of faces given by `points` (N, 51, 2) in pixels; each depends on its own points only."""
    p = np.asarray(points, dtype=np.float64)
    left, right = p[:, layout.INNER_LEFT], p[:, layout.INNER_RIGHT]
    half_width = np.maximum(_length(right - left) / 2, 1e-3)
    axis = (right - left) / (2 * half_width[:, None])
    origin = (left + right) / 2
    frame = _to_mouth_frame(p, origin, axis, half_width)
    eyes = p[:, layout.EYE_CORNERS]
    nostrils = (p[:, 45] + p[:, 46]) / 2
    upper = _fit(frame[:, _UPPER_INNER])
    lower = _fit(frame[:, _LOWER_INNER])
    crossed = np.minimum(evaluate(lower, _MIDDLE) - evaluate(upper, _MIDDLE), 0.0).mean(axis=1) / 2
    upper[:, 0] += crossed
    lower[:, 0] -= crossed
    gaps = np.asarray(layout.INNER_GAPS)
    ends = frame[:, layout.MOUTH_RIGHT, 0] - frame[:, layout.MOUTH_LEFT, 0]
    outer = np.clip(ends / 2, *OUTER_LIMITS)
    return MouthShape(
        origin=origin,
        axis=axis,
        half_width=half_width,
        upper=upper,
        lower=lower,
        upper_thickness=_thickness(frame[:, _UPPER_OUTER], upper, outer, -1.0),
        lower_thickness=_thickness(frame[:, _LOWER_OUTER], lower, outer, 1.0),
        outer=outer,
        nose=np.minimum((frame[:, 45] + frame[:, 46]) / 2, [np.inf, -0.35]),
        left=np.clip(-frame[:, _JAW_LEFT, 0], 1.3, 2.6),
        right=np.clip(frame[:, _JAW_RIGHT, 0], 1.3, 2.6),
        chin=np.maximum(frame[:, layout.CHIN, 1], 0.9),
        eye_distance=np.maximum(_length(p[:, layout.EYE_RIGHT_OUTER] - p[:, layout.EYE_LEFT_OUTER]), 1e-3),
        nose_length=np.maximum(_length(nostrils - eyes.mean(axis=1)), 1e-3),
        gap_places=np.clip((frame[:, gaps[:, 0], 0] + frame[:, gaps[:, 1], 0]) / 2, -0.95, 0.95),
    )


def part_lips(points: NDArray[np.floating], gain: float) -> NDArray[np.float32]:
    """Points (N, 51, 2) with lips as far apart as `gain` times what they show above `REST_GAP`.

    Landmarks of a small network shrink openings; lips that are thought to be nearer than they are
    leave a rim of teeth when they are brought together.
    """
    p = np.asarray(points, dtype=np.float64)
    s = measure_shape(p)
    x = np.clip(_to_mouth_frame(p, s.origin, s.axis, s.half_width)[..., 0], -1, 1)
    own = evaluate(s.lower - s.upper, x) * s.half_width[:, None]
    mean = evaluate(s.lower - s.upper, s.gap_places).mean(axis=1) * s.half_width
    above = np.clip(1 - REST_GAP * s.eye_distance / np.maximum(mean, 1e-6), 0, 1)
    apart = own * ((gain - 1) * above)[:, None] * _PARTING  # (N, 51)
    down = np.stack([-s.axis[:, 1], s.axis[:, 0]], axis=-1)
    return np.asarray(p + apart[..., None] * down[:, None], dtype=np.float32)


def measure_gap(points: NDArray[np.floating]) -> Array:
    """Mean distance of the facing inner-lip points, in pixels: (…, 51, 2) -> (…)."""
    p = np.asarray(points, dtype=np.float64)
    gaps = np.asarray(layout.INNER_GAPS)
    mean: Array = _length(p[..., gaps[:, 0], :] - p[..., gaps[:, 1], :]).mean(axis=-1)
    return mean


def measure_eye_distance(points: NDArray[np.floating]) -> Array:
    """Distance of the outer eye corners in pixels: (…, 51, 2) -> (…)."""
    p = np.asarray(points, dtype=np.float64)
    return _length(p[..., layout.EYE_RIGHT_OUTER, :] - p[..., layout.EYE_LEFT_OUTER, :])


def measure_yaw(points: NDArray[np.floating]) -> Array:
    """The nose tip's distance from the middle of the face, in eye distances; 0 is frontal: -> (…)."""
    p = np.asarray(points, dtype=np.float64)
    left, right = p[..., layout.EYE_LEFT_OUTER, :], p[..., layout.EYE_RIGHT_OUTER, :]
    across = right - left
    length = np.maximum(_length(across), 1e-3)
    middle = (left + right) / 2
    offset: Array = ((p[..., layout.NOSE_TIP, :] - middle) * across).sum(axis=-1) / length**2
    return offset


def measure_width(points: NDArray[np.floating]) -> Array:
    """Width of the inner mouth in eye distances: (…, 51, 2) -> (…)."""
    p = np.asarray(points, dtype=np.float64)
    corners = _length(p[..., layout.INNER_RIGHT, :] - p[..., layout.INNER_LEFT, :])
    return corners / np.maximum(measure_eye_distance(p), 1e-3)


def evaluate(curve: Array, x: Array) -> Array:
    """y of curves (N, 4) at x (M,) or (N, M) -> (N, M); 0 outside the corners."""
    x = np.broadcast_to(x, (len(curve), x.shape[-1]))
    c = curve[:, :, None]
    body = c[:, 0] + x * (c[:, 1] + x * (c[:, 2] + x * c[:, 3]))
    return np.maximum(1 - x * x, 0.0) * body


_MIDDLE: Final = np.linspace(-0.6, 0.6, 7)


def _length(vector: Array) -> Array:
    length: Array = np.sqrt((vector * vector).sum(axis=-1))
    return length


def _to_mouth_frame(points: Array, origin: Array, axis: Array, half_width: Array) -> Array:
    offset = points - origin[:, None]
    along = offset[..., 0] * axis[:, None, 0] + offset[..., 1] * axis[:, None, 1]
    across = offset[..., 1] * axis[:, None, 0] - offset[..., 0] * axis[:, None, 1]
    return np.stack([along, across], axis=-1) / half_width[:, None, None]


def _fit(points: Array) -> Array:
    """Least squares of a curve through points (N, K, 2); a slight ridge keeps odd points harmless."""
    x, y = points[..., 0], points[..., 1]
    body = np.maximum(1 - x * x, 0.0)
    basis = np.stack([body, body * x, body * x**2, body * x**3], axis=-1)  # (N, K, 4)
    normal = np.broadcast_to(np.diag([1e-4, 1e-3, 4e-3, 8e-3]), (len(y), 4, 4))
    right = np.zeros((len(y), 4))
    for row, value in zip(np.moveaxis(basis, 1, 0), y.T, strict=True):  # in this order for any N
        normal = normal + row[:, :, None] * row[:, None, :]
        right = right + row * value[:, None]
    solved: Array = np.linalg.solve(normal, right[..., None])[..., 0]
    return solved


def _thickness(edge: Array, inner: Array, outer: Array, sign: float) -> Array:
    """The lip between its outer edge (N, 5, 2) and its inner curve."""
    depth = np.maximum(sign * (edge[..., 1] - evaluate(inner, edge[..., 0])), 0.02)
    return _fit(np.stack([edge[..., 0] / outer[:, None], depth], axis=-1))
