"""How the skin around a mouth moves when its lips take other places: displacement fields in torch.

Knows curves and fields in the mouth frame (see `shape`), no colours and no files.  All fields
have compact support: they are exactly 0 at the edge of the mask.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.shape import OUTER_CORNER, Array, MouthShape, evaluate

#: Share of an opening by which the upper lip rises; the lower lip sinks by the rest.
UPPER_SHARE: Final = 0.3
#: Share of the lower lip's way that the chin goes.
JAW_SHARE: Final = 0.72
#: By how much (half widths) the lips of a wide open source are taken a little inside the lip,
#: so that no rim of teeth or dark is carried along.
LIP_INSET: Final = 0.075
#: Share of their way by which the outer edges of closing lips stay behind: lips at rest are fuller.
THICKEN: Final = 0.4
NODES: Final = (44, 40)

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
    "(N,) LIP_INSET as far as the source is open"
    closing: Array
    "(N,) 0..1: how far lips that the source shows open are brought together"
    jaw: Array
    "(N,) displacement of the chin, downwards"

    def at(self, frames: slice) -> "LipTarget":
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
        inset=LIP_INSET * _smooth(own_mean / 0.2) * weight,
        closing=_smooth((own_mean - opened_mean) / 0.15),
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
class Fields:
    """What a pixel at (x, y) of the mouth frame needs to know, on a coarse grid over `box`."""

    values: Tensor
    "(N, 4, rows, columns): dx, dy of the upper part, dy of the lower part, mask"
    box: Tensor
    "(N, 4) left, top, right, bottom in the mouth frame"


def make_fields(target: LipTarget, device: torch.device) -> Fields:
    """Displacements (source = place - displacement) and mask of N targets."""
    box = tensor(support(target.shape), device)
    x, y = _nodes(box)
    s = target.shape
    width = _column(target.width, device)
    along = x / width
    upper, lower = curve(target.upper, along), curve(target.lower, along)
    bump = (1 - along * along).clamp(min=0)
    inset = _column(target.inset, device) * bump
    above = curve(s.upper_thickness, along / OUTER_CORNER)
    below = curve(s.lower_thickness, along / OUTER_CORNER)
    up = upper - curve(s.upper, along)
    down = lower - curve(s.lower, along)
    thicker = THICKEN * _column(target.closing, device)
    up = up * (1 - thicker * ((upper - y) / above.clamp(min=0.05)).clamp(0, 1))
    down = down * (1 - thicker * ((y - lower) / below.clamp(min=0.05)).clamp(0, 1))
    up = up + torch.minimum(inset, 0.35 * above)
    down = down - torch.minimum(inset, 0.35 * below)
    nose, chin = _column(s.nose[:, 1], device), _column(s.chin, device)
    skin_up, skin_down = _skin(target, x, y, device)
    edge_up, edge_down = upper - above, lower + below
    lip_up = 1 - _step((edge_up - y) / (0.55 * (edge_up - nose)).clamp(min=0.1))
    lip_down = 1 - _step((y - edge_down) / (0.45 * (chin - edge_down)).clamp(min=0.15))
    mask = _mask(target, x, y, device)
    values = torch.stack(
        [
            _sideways(width, x, y) * mask,
            torch.lerp(skin_up, up, lip_up) * mask,
            torch.lerp(skin_down, down, lip_down) * mask,
            mask,
        ],
        dim=1,
    )
    return Fields(values, box)


def curve(coefficients: Array, x: Tensor) -> Tensor:
    """`shape.evaluate` on the device: (N, 4) at x (N, h, w) -> (N, h, w)."""
    c = tensor(coefficients, x.device)[:, :, None, None]
    body = c[:, 0] + x * (c[:, 1] + x * (c[:, 2] + x * c[:, 3]))
    return (1 - x * x).clamp(min=0) * body


def tensor(values: NDArray[np.floating], device: torch.device) -> Tensor:
    """float32 on the device."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(device)


def _skin(target: LipTarget, x: Tensor, y: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Displacement of the skin away from the lips: towards the nose, and of jaw, chin and neck."""
    s = target.shape
    middle = np.zeros((1, 1))
    rise = _column(evaluate(target.upper - s.upper, middle)[:, 0], device)
    nose, chin = _column(s.nose[:, 1], device), _column(s.chin, device)
    towards_nose = _step((y - nose) / -nose) * torch.exp(-x * x / 0.5)
    side = torch.where(x < 0, _column(s.left, device), _column(s.right, device))
    across = 1 - _step((x.abs() / side - 0.12) / 0.86)
    jaw = _column(target.jaw, device)
    meet = curve(target.meet, x / _column(target.width, device))
    ramp = _step((y - meet) / (0.6 * chin))
    neck = 1 - _step((y - chin - 0.15 * chin.clamp(max=2) - jaw) / (_column(_neck(s), device) * 0.85))
    return 0.8 * rise * towards_nose, jaw * across * ramp * neck


def _sideways(width: Tensor, x: Tensor, y: Tensor) -> Tensor:
    reach = 1 - _step((x.abs() - 1) / 1.1)
    return (1 - 1 / width) * x * reach * torch.exp(-((y - 0.15) ** 2) / 1.1)


def _mask(target: LipTarget, x: Tensor, y: Tensor, device: torch.device) -> Tensor:
    s = target.shape
    nose = _column(s.nose[:, 1], device)
    bottom = _column(s.chin + _neck(s), device)
    side = torch.where(x < 0, _column(s.left, device), _column(s.right, device))
    sides = 1 - _step((x.abs() / side - 0.80) / 0.19)
    top = _step((y - nose) / (-0.3 * nose))
    return sides * top * (1 - _step((y / bottom - 0.88) / 0.115))


def _neck(shape: MouthShape) -> Array:
    return np.maximum(0.55 * shape.chin, 0.9)


def _nodes(box: Tensor) -> tuple[Tensor, Tensor]:
    rows, columns = NODES
    down = torch.arange(rows, dtype=torch.float32, device=box.device)[None, :, None] / (rows - 1)
    right = torch.arange(columns, dtype=torch.float32, device=box.device)[None, None, :] / (columns - 1)
    left_x, top_y, right_x, bottom_y = (box[:, i, None, None] for i in range(4))
    x = left_x + (right_x - left_x) * right
    y = top_y + (bottom_y - top_y) * down
    return x.expand(-1, rows, -1), y.expand(-1, -1, columns)


def _column(values: Array, device: torch.device) -> Tensor:
    return tensor(values, device)[:, None, None]


def _step(t: Tensor) -> Tensor:
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)
