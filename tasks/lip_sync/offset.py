"""How far the sound of a clip lies from its picture, from what the voice says and what the mouth does.

Pure numpy over two curves; knows no sound, no pictures and no networks.
"""

from dataclasses import dataclass
from math import atanh, erf, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.mel import COLUMNS_PER_SECOND

Array = NDArray[np.float32]
Times = NDArray[np.float64]

LARGEST_SECONDS: Final = 0.4
_STEP_SECONDS: Final = 0.005
_RIVAL_SECONDS: Final = 0.15
#: Independent looks a second that an opening curve gives: it moves in syllables, four to five a second.
_LOOKS_PER_SECOND: Final = 4.5


@dataclass(frozen=True)
class Offset:
    """Where voice and mouth agree best."""

    seconds: float
    "positive: the sound comes later than the picture; picture time t belongs to sound time t + seconds"
    confidence: float
    "0..1: probability that this place is better than any other more than 150 ms away; 0.5 is a guess"
    correlation: float
    "of prediction and measurement at this place"


def estimate_offset(
    predicted_opening: Array,
    measured_opening: Array,
    times: Times,
    *,
    largest_seconds: float = LARGEST_SECONDS,
) -> Offset:
    """The offset within +-`largest_seconds` that fits best, to 5 ms.

    `predicted_opening` (T,) at 80 columns a second from sound time 0; `measured_opening` (N,) at picture
    `times` (N,) seconds, pictures without a mouth left out.  Where nothing can be said (a constant curve,
    fewer than 8 pictures) the answer is 0 with confidence 0.
    """
    count = round(largest_seconds / _STEP_SECONDS)
    lags = np.arange(-count, count + 1) * _STEP_SECONDS
    if len(times) < 8 or len(predicted_opening) < 2:
        return Offset(0.0, 0.0, 0.0)
    found = np.array([_correlation(sample(predicted_opening, times + lag), measured_opening) for lag in lags])
    best = int(np.argmax(found))
    if found[best] <= 0:
        return Offset(0.0, 0.0, float(found[count]))
    rivals = found[np.abs(lags - lags[best]) > _RIVAL_SECONDS]
    looks = max(_LOOKS_PER_SECOND * float(times[-1] - times[0]) - 3, 0.0)
    confidence = _better(float(found[best]), float(rivals.max(initial=-1.0)), looks)
    return Offset(float(lags[best]), confidence, float(found[best]))


def sample(curve: Array, seconds: Times) -> NDArray[np.float64]:
    """An 80 Hz curve at any times, between columns linearly, beyond its ends held."""
    return np.interp(seconds * COLUMNS_PER_SECOND, np.arange(len(curve)), curve)


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    a, b = (np.asarray(curve, np.float64) - np.mean(curve, dtype=np.float64) for curve in (a, b))
    scale = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / scale if scale > 1e-9 else 0.0


def _better(best: float, rival: float, looks: float) -> float:
    """Probability that one correlation truly exceeds another (Fisher's z, independent samples)."""
    difference = atanh(min(best, 0.999)) - atanh(min(max(rival, -0.999), 0.999))
    return 0.5 * (1 + erf(difference * sqrt(looks / 2) / sqrt(2)))
