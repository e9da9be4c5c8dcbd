"""The SDR view of PQ and HLG pictures that networks see, and the way back into the source's transfer.

    R'G'B' --EOTF--> light --matrix--> BT.709 light --Möbius--> 0..1 --1/2.4--> SDR R'G'B'

Light 1.0 is HDR reference white, 203 cd/m² (ITU-R BT.2408-7, table 1).  Every step is monotone and
has an inverse, beyond its usual range too, so nothing is cut off on the way.  Written once for
numpy and torch: the same functions fill a look-up table and turn regions.

A composite does not trust the inverse with what is untouched: `composite` adds to the source the
difference that a change of the view makes, `source + back(new) - back(view(source))`.  Where the
view was not changed both terms are the same number and the source stays as it is, bit for bit.

PQ and HLG: ITU-R BT.2100-2, tables 4 and 5.  The curve: FFmpeg, libavfilter/vf_tonemap.c, mobius().
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.picture import Colour

WHITE_NITS = 203.0
#: Light that the view's white stands for; brighter pictures go on above 1.0 linearly.
PEAK = 1000.0 / WHITE_NITS
#: Below this light the view is the source's light, unchanged.
KNEE = 0.3
#: BT.1886: what an SDR display makes of a code value.
DISPLAY_GAMMA = 2.4

_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
#: d(light) / d(code) at code 1.0 over the light there: PQ goes on linearly above it.
_PQ_SLOPE = (1 / (1 - _PQ_C1) + _PQ_C3 / (_PQ_C2 - _PQ_C3)) / (_PQ_M1 * _PQ_M2)
_HLG_A, _HLG_B = 0.17883277, 0.28466892
_HLG_GAMMA, _HLG_NITS = 1.2, 1000.0

_CURVE_A = -(KNEE**2) * (PEAK - 1) / (KNEE**2 - 2 * KNEE + PEAK)
_CURVE_B = (KNEE**2 - 2 * KNEE * PEAK + PEAK) / (PEAK - 1)
_CURVE_K = (_CURVE_B + KNEE) ** 2 / (_CURVE_B - _CURVE_A)
_CURVE_SPAN = _CURVE_K * (_CURVE_B - _CURVE_A)
_PEAK_SLOPE = _CURVE_SPAN / (PEAK + _CURVE_B) ** 2

#: (x, y) of red, green, blue by primaries code point; white is D65 in all.
_PRIMARIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)


@dataclass(frozen=True)
class ToneMap:
    """The view of one transfer and set of primaries; pictures are (N, 3, h, w) arrays or tensors."""

    transfer: int
    "16 PQ, 18 HLG."
    primaries: int
    "A key of the table of primaries."

    def to_sdr(self, rgb: Any) -> Any:
        """Source R'G'B' as SDR BT.709 R'G'B' for a 2.4 gamma display, not clamped."""
        light = _mixed(self._to_bt709, self._light(rgb))
        return _signed_power(_compressed(light), 1 / DISPLAY_GAMMA)

    def to_source(self, sdr: Any) -> Any:
        """The inverse of `to_sdr`."""
        light = _mixed(self._from_bt709, _expanded(_signed_power(sdr, DISPLAY_GAMMA)))
        return _pq_encoded(light) if self.transfer == 16 else _hlg_encoded(light, self._luminance)

    def composite(self, source: Any, sdr: Any) -> Any:
        """`source` changed by as much as `sdr` differs from its view."""
        return source + (self.to_source(sdr) - self.to_source(self.to_sdr(source)))

    @property
    def white(self) -> float:
        """The source's R'G'B' value of reference white."""
        return 0.5806889 if self.transfer == 16 else 0.75

    def _light(self, rgb: Any) -> Any:
        return _pq_light(rgb) if self.transfer == 16 else _hlg_light(rgb, self._luminance)

    @cached_property
    def _luminance(self) -> tuple[float, float, float]:
        r, g, b = (float(v) for v in _to_xyz(self.primaries)[1])
        return r, g, b

    @cached_property
    def _to_bt709(self) -> npt.NDArray[np.float64]:
        return np.asarray(np.linalg.inv(_to_xyz(1)) @ _to_xyz(self.primaries), np.float64)

    @cached_property
    def _from_bt709(self) -> npt.NDArray[np.float64]:
        return np.asarray(np.linalg.inv(self._to_bt709), np.float64)


def tone_map(colour: Colour) -> ToneMap | None:
    """The view of a source's colour, None where it is SDR and needs none."""
    if not colour.is_hdr:
        return None
    return ToneMap(colour.transfer, colour.primaries if colour.primaries in _PRIMARIES else 9)


def _operations(values: Any) -> Any:
    """The module whose `where`, `exp` … take these values."""
    if isinstance(values, np.ndarray):
        return np
    import torch

    return torch


def _power(values: Any, exponent: float) -> Any:
    """`values ** exponent` for values from 0 up, in torch at half the cost of its own."""
    if isinstance(values, np.ndarray):
        return values**exponent
    return values.log().mul_(exponent).exp_()


def _signed_power(values: Any, exponent: float) -> Any:
    """Odd-symmetric power: the sign stays."""
    return _operations(values).sign(values) * _power(abs(values), exponent)


def _mixed(matrix: npt.NDArray[np.float64], rgb: Any) -> Any:
    """A 3 by 3 matrix over axis -3, in float32 without a matrix product (TF32 would round)."""
    ops = _operations(rgb)
    r, g, b = rgb[..., 0, :, :], rgb[..., 1, :, :], rgb[..., 2, :, :]
    return ops.stack([r * float(x) + g * float(y) + b * float(z) for x, y, z in matrix], -3)


# Piecewise curves below are sums of clipped pieces, each 0 where it begins: choosing by a mask
# costs torch more than the curve, and a piece that is not exactly 0 would lift black.


def _compressed(light: Any) -> Any:
    ops = _operations(light)
    low, middle, high = _pieces(ops, light, KNEE, PEAK)
    bent = middle * (_CURVE_SPAN / (KNEE + _CURVE_B)) / (middle + (KNEE + _CURVE_B))
    return low + bent + high * _PEAK_SLOPE


def _expanded(view: Any) -> Any:
    ops = _operations(view)
    low, middle, high = _pieces(ops, view, KNEE, 1.0)
    straight = middle * (_CURVE_SPAN / (_CURVE_K - KNEE)) / ((_CURVE_K - KNEE) - middle)
    return low + straight + high / _PEAK_SLOPE


def _pieces(ops: Any, values: Any, first: float, second: float) -> tuple[Any, Any, Any]:
    """What lies below `first`, above it up to `second`, and above that; their sum is `values`."""
    return (
        ops.clip(values, None, first),
        ops.clip(values, first, second) - first,
        ops.clip(values, second, None) - second,
    )


def _pq_light(encoded: Any) -> Any:
    ops = _operations(encoded)
    size = abs(encoded)
    root = _power(ops.clip(size, None, 1.0), 1 / _PQ_M2)
    share = _power(ops.clip(root - _PQ_C1, 0.0, None) / (_PQ_C2 - _PQ_C3 * root), 1 / _PQ_M1)
    share = share + (ops.clip(size, 1.0, None) - 1.0) * _PQ_SLOPE
    return ops.sign(encoded) * share * (10000.0 / WHITE_NITS)


def _pq_encoded(light: Any) -> Any:
    ops = _operations(light)
    share = abs(light) * (WHITE_NITS / 10000.0)
    power = _power(ops.clip(share, None, 1.0), _PQ_M1)
    size = _power((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power), _PQ_M2)
    return ops.sign(light) * (size + (ops.clip(share, 1.0, None) - 1.0) / _PQ_SLOPE)


def _hlg_light(encoded: Any, luminance: tuple[float, float, float]) -> Any:
    ops = _operations(encoded)
    size = ops.clip(abs(encoded), None, 2.0)
    high = ops.expm1((ops.clip(size, 0.5, None) - 0.5) / _HLG_A) * ((1 - _HLG_B) / 12)
    scene = ops.sign(encoded) * (ops.clip(size, None, 0.5) ** 2 / 3 + high)
    bright = ops.clip(_luma(scene, luminance), 1e-6, None)
    return scene * _power(bright, _HLG_GAMMA - 1) * (_HLG_NITS / WHITE_NITS)


def _hlg_encoded(light: Any, luminance: tuple[float, float, float]) -> Any:
    ops = _operations(light)
    display = light * (WHITE_NITS / _HLG_NITS)
    bright = _power(ops.clip(_luma(display, luminance), 1e-6**_HLG_GAMMA, None), 1 / _HLG_GAMMA)
    scene = display / _power(bright, _HLG_GAMMA - 1)
    size = abs(scene)
    high = _HLG_A * ops.log1p((12 * ops.clip(size, 1 / 12, None) - 1) / (1 - _HLG_B))
    return ops.sign(scene) * ((3 * ops.clip(size, None, 1 / 12)) ** 0.5 + high)


def _luma(rgb: Any, weights: tuple[float, float, float]) -> Any:
    """(..., 3, h, w) -> (..., 1, h, w)"""
    r, g, b = weights
    return rgb[..., 0:1, :, :] * r + rgb[..., 1:2, :, :] * g + rgb[..., 2:3, :, :] * b


def _to_xyz(primaries: int) -> npt.NDArray[np.float64]:
    """(3, 3) linear R, G, B to X, Y, Z (SMPTE RP 177)."""
    columns = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in _PRIMARIES[primaries]]).T
    x, y = _D65
    white = np.array((x / y, 1.0, (1 - x - y) / y))
    return columns * np.linalg.solve(columns, white)
