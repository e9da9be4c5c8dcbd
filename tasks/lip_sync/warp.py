"""How the skin around a mouth moves when its lips take other places: displacement fields.

Knows curves and fields in the mouth frame (see `shape`), no colours and no device.  All fields
have compact support: they are exactly 0 at the edge of the mask.  Only sums, products and quotients
are used on whole arrays, so a face's field does not depend on the batch that it is computed in.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.shape import Array, MouthShape, evaluate

#: Share of an opening by which the upper lip rises; the lower lip sinks by the rest. On twelve filmed people the
#: middle of the upper lip went by -0.23 to 0.47 of the opening, 0.05 in the median, where nothing else moved.
UPPER_SHARE: Final = 0.1
#: Share of the lower lip's way that the chin goes: 0.29 to 0.87 on the same people, in the median this.
JAW_SHARE: Final = 0.5
#: By how much (half widths) the lips of a wide open source are taken a little inside the lip, so that no rim of the
#: upper teeth is carried along; the lower lip, which seldom ends at teeth, would lose a third of its red.
UPPER_INSET: Final = 0.075
LOWER_INSET: Final = 0.015
#: Share of their way by which the outer edges of closing lips stay behind in the middle: lips at rest are fuller.
THICKEN_UPPER: Final = 0.4
THICKEN_LOWER: Final = 0.25
#: How far the sides of a closing lower lip go from what the open one leaves to a parabola. On six filmed
#: people a closed lip had 0.95, 0.73, 0.53 and 0.25 of its middle's thickness at 0.3, 0.6, 0.75 and 0.9 of the half
#: width, an open one 1.0, 0.9, 0.7 and 0.4; landmarks err there, so not all of the way.
TAPER: Final = 0.7
#: By at most these shares of its thickness a closing lower lip grows in the middle, and its sides go further than its
#: middle leads them: of a lip that closes a wide O nothing but a wedge would be left.
MOST_GROWN: Final = 0.5
MOST_TAPERED: Final = 0.4

#: Gap of a generic mouth along x, in the form of `shape.evaluate`.
GENERIC_PROFILE: Final = (1.0, 0.0, 0.45, 0.0)


@dataclass(frozen=True)
class LipTarget:
    """Where the lips of N mouths shall be, in units of the source's half width."""

    shape: MouthShape
    "the lips as the source shows them"
    width: Array
    "(N,) target half width over the source's"
    upper: Array
    "(N, 4) curve of the upper lip's lower edge, over x / width"
    lower: Array
    "(N, 4) curve of the lower lip's upper edge, over x / width"
    meet: Array
    "(N, 4) curve where the lips would meet"
    inset: Array
    "(N,) 0..1: how much of the insets the source is open enough for"
    closing: Array
    "(N,) 0..1: how far lips that the source shows open are brought together"
    opening: Array
    "(N,) how far they are apart afterwards, on the mean of the inner gaps"
    jaw: Array
    "(N,) displacement of the chin, downwards"

    def at(self, frames: slice | NDArray[np.int64]) -> "LipTarget":
        """The same values for some of the mouths."""
        arrays = {n: getattr(self, n)[frames] for n in self.__dataclass_fields__ if n != "shape"}
        return LipTarget(shape=self.shape.at(frames), **arrays)


def place_lips(
    shape: MouthShape,
    gaps: NDArray[np.floating],
    widths: NDArray[np.floating],
    weights: NDArray[np.floating],
    profile: NDArray[np.floating],
) -> LipTarget:
    """The target of lips that shall open by `gaps` (N,) pixels, on the mean of the five inner gaps.

    `widths` (N,) multiply the width; `weights` (N,) in 0..1 lead from the source's own lips to
    the request; `profile` (4,) is the gap along x.  A negative gap presses the lips together.
    """
    weight = np.asarray(weights, dtype=np.float64)
    width = 1 + (np.asarray(widths, dtype=np.float64) - 1) * weight
    bent = np.broadcast_to(np.asarray(profile, dtype=np.float64), (len(shape), 4))
    mean = np.maximum(evaluate(bent, shape.gap_places).mean(axis=1), 0.2)
    own = shape.lower - shape.upper
    own_mean = evaluate(own, shape.gap_places).mean(axis=1)
    request = _above_rest(np.asarray(gaps, dtype=np.float64) / shape.half_width, own_mean)
    opened = own + weight[:, None] * (bent * (request / mean)[:, None] - own)
    opened_mean = evaluate(opened, shape.gap_places).mean(axis=1)
    meet = shape.upper + UPPER_SHARE * own
    return LipTarget(
        shape=shape,
        width=width,
        upper=meet - UPPER_SHARE * opened,
        lower=meet + (1 - UPPER_SHARE) * opened,
        meet=meet,
        inset=_smooth(own_mean / 0.2) * weight,
        closing=_smooth((own_mean - opened_mean) / 0.15),
        opening=np.maximum(opened_mean, 0),
        jaw=JAW_SHARE * (1 - UPPER_SHARE) * (opened_mean - own_mean),
    )


def _above_rest(request: Array, own: Array) -> Array:
    """Requests that leave alone the small gap which the points of closed lips show."""
    rest = own * (1 - _smooth((own - 0.03) / 0.10))
    return rest + np.maximum(request - rest, np.minimum(request, 0.0))


def _smooth(t: Array) -> Array:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)


def support(shape: MouthShape) -> Array:
    """Left, top, right, bottom of the fields in the mouth frame: (N, 4)."""
    top = shape.nose[:, 1]
    return np.stack([-shape.left, top, shape.right, shape.chin + _neck(shape)], axis=-1)


@dataclass(frozen=True)
class Motion:
    """How places of the mouth frame move, each (N, rows, columns): source = place + offset."""

    above: tuple[Array, Array]
    "offsets in pixels, across and down, of what lies above the line where the lips meet"
    below: tuple[Array, Array]
    "of what lies below it"
    under: Array
    "how far below that line (negative: above), in half widths"
    mask: Array
    "0..1, exactly 0 outside the fields' support"


def move_places(target: LipTarget, x: Array, y: Array) -> Motion:
    """How places (N, rows, columns) of the mouth frame move for N targets."""
    s = target.shape
    width = target.width[:, None, None]
    along = x / width
    upper, lower, meet = (on_places(c, along) for c in (target.upper, target.lower, target.meet))
    above, below = (on_places(c, along / s.outer[:, None, None]) for c in (s.upper_thickness, s.lower_thickness))
    up, down = _lips(target, along, y, _Lips(upper, lower, above, below))
    skin_up, skin_down = _skin(target, x, y, meet)
    edge_up, edge_down = upper - above, lower + below
    nose, chin = s.nose[:, 1, None, None], s.chin[:, None, None]
    lip_up = 1 - _smooth((edge_up - y) / np.maximum(0.55 * (edge_up - nose), 0.1))
    lip_down = 1 - _smooth((y - edge_down) / np.maximum(0.45 * (chin - edge_down), 0.15))
    mask = _mask(target, x, y)
    sideways = _sideways(width, x, y) * mask
    up = (skin_up + lip_up * (up - skin_up)) * mask
    down = (skin_down + lip_down * (down - skin_down)) * mask
    cosine, sine = ((s.axis[:, i] * s.half_width)[:, None, None] for i in range(2))
    return Motion(
        above=(up * sine - sideways * cosine, -sideways * sine - up * cosine),
        below=(down * sine - sideways * cosine, -sideways * sine - down * cosine),
        under=y - meet,
        mask=mask,
    )


@dataclass(frozen=True)
class _Lips:
    """Edges of the lips where they shall be, on the nodes."""

    upper: Array
    lower: Array
    above: Array
    "thickness of the upper lip"
    below: Array
    "thickness of the lower lip"


def _lips(target: LipTarget, along: Array, y: Array, lips: _Lips) -> tuple[Array, Array]:
    """Displacement of the upper and of the lower lip.

    Their inner edges follow the opening, which ends at the inner corners; their outer edges go
    with it over the whole width of the lips, or lips that reach further (a pout) would tear.
    """
    s = target.shape
    bump = np.maximum(1 - along * along, 0)
    wide = along / s.outer[:, None, None]
    inset = target.inset[:, None, None] * bump
    depth_up = np.clip((lips.upper - y) / np.maximum(lips.above, 0.05), 0, 1)
    depth_down = np.clip((y - lips.lower) / np.maximum(lips.below, 0.05), 0, 1)
    up, down = lips.upper - on_places(s.upper, along), lips.lower - on_places(s.lower, along)
    rim = np.maximum(1 - wide * wide, 0)
    rise = evaluate(target.upper - s.upper, np.zeros(1))[:, :, None] * rim
    closing = target.closing[:, None, None]
    up = up + depth_up * (rise * (1 - THICKEN_UPPER * closing) - up)
    down = down + depth_down * (_outer_fall(target, wide, down, lips.below) - down)
    above, below = (
        np.minimum(UPPER_INSET * inset, 0.35 * lips.above),
        np.minimum(LOWER_INSET * inset, 0.35 * lips.below),
    )
    return up + above, down - below


def _outer_fall(target: LipTarget, wide: Array, inner: Array, thickness: Array) -> Array:
    """Displacement of the lower lip's outer edge where the inner one goes by `inner`.

    It follows the middle in a parabola; where that would leave a closed lip thicker at its sides than lips
    taper, it goes further.
    """
    s, middle = target.shape, np.zeros(1)
    rim = np.maximum(1 - wide * wide, 0)
    closing = target.closing[:, None, None]
    fall = evaluate(target.lower - s.lower, middle)[:, :, None]
    own = evaluate(s.lower_thickness, middle)[:, :, None]
    stays = closing * np.clip(THICKEN_LOWER * fall, -MOST_GROWN * own, 0)
    closed = (own - stays) * rim
    outer = (fall - stays) * rim
    return outer + TAPER * closing * np.clip(inner + closed - thickness - outer, -MOST_TAPERED * thickness, 0)


def _skin(target: LipTarget, x: Array, y: Array, meet: Array) -> tuple[Array, Array]:
    """Displacement of the skin away from the lips: towards the nose, and of jaw, chin and neck."""
    s = target.shape
    rise = evaluate(target.upper - s.upper, np.zeros(1))[:, :, None]
    nose, chin, jaw = s.nose[:, 1, None, None], s.chin[:, None, None], target.jaw[:, None, None]
    near = 1 / (1 + x * x)
    towards_nose = _smooth((y - nose) / -nose) * near * near * near
    across = 1 - _smooth((np.abs(x) / _side(s, x) - 0.12) / 0.86)
    ramp = _smooth((y - meet) / (0.6 * chin))
    below_chin = y - chin - 0.15 * np.minimum(chin, 2) - jaw
    neck = 1 - _smooth(below_chin / (0.85 * _neck(s)[:, None, None]))
    return 0.8 * rise * towards_nose, jaw * across * ramp * neck


def _sideways(width: Array, x: Array, y: Array) -> Array:
    reach = 1 - _smooth((np.abs(x) - 1) / 1.1)
    near = 1 / (1 + (y - 0.15) * (y - 0.15))
    return (1 - 1 / width) * x * reach * near * near


def _mask(target: LipTarget, x: Array, y: Array) -> Array:
    s = target.shape
    nose, bottom = s.nose[:, 1, None, None], (s.chin + _neck(s))[:, None, None]
    sides = 1 - _smooth((np.abs(x) / _side(s, x) - 0.80) / 0.19)
    top = _smooth((y - nose) / (-0.3 * nose))
    return sides * top * (1 - _smooth((y / bottom - 0.88) / 0.115))


def _side(shape: MouthShape, x: Array) -> Array:
    return np.where(x < 0, shape.left[:, None, None], shape.right[:, None, None])


def _neck(shape: MouthShape) -> Array:
    return np.maximum(0.55 * shape.chin, 0.9)


def on_places(curve: Array, x: Array) -> Array:
    """y of curves (N, 4) at places x (N, rows, columns), as `shape.evaluate`."""
    return evaluate(curve, x.reshape(len(x), -1)).reshape(x.shape)
