"""From what the voice does to how far the mouth shall open in each frame; pure arithmetic over a whole video.

All arrays hold one value per output frame.  Everything is computed once over the whole timeline and
sliced afterwards, so the way a video is cut into segments cannot change it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.shape import Array, measure_eye_distance, measure_gap, measure_width

#: Openings in eye distances: the least and the most that counts as this person's wide vowel.
NARROWEST_RANGE: Final = 0.10
WIDEST_RANGE: Final = 0.22
#: Wide vowel of a source that does not speak: at least, and at most where it rests with parted lips. A broad
#: smile parts them as far as a wide vowel; lips that went beyond it would be stretched thin and pale.
STILL_RANGE: Final = 0.105
STILL_WIDEST: Final = 0.125
#: Lips are pressed together by this share of a wide vowel on m, b and p.
OVER_CLOSE: Final = 0.05
#: Openings below this share count as closed, with a soft knee.
KNEE: Final = 0.05
#: Predicted openings lie nearer to closed than real ones between the same ends; this power mends it.
LIVELINESS: Final = 0.8
#: A spread or rounded mouth is wider or narrower by this share, a wide vowel narrower by the other.
WIDTH_SHARE: Final = 0.09
OPEN_NARROWS: Final = 0.05
WIDTH_LIMITS: Final = (0.86, 1.14)
SMOOTHING_SECONDS: Final = 0.025
EASE_SECONDS: Final = 0.24


@dataclass(frozen=True)
class Speech:
    """What the voice does in each of T frames."""

    opening: NDArray[np.floating]
    "(T,) 0 closed .. 1 wide open"
    closure: NDArray[np.floating]
    "(T,) 0..1: lips pressed together"
    width: NDArray[np.floating]
    "(T,) -1 rounded .. 1 spread"


@dataclass(frozen=True)
class Showing:
    """The face that each of T output frames shows."""

    seconds: NDArray[np.floating]
    "(T,) when the frame is shown"
    points: NDArray[np.floating]
    "(T, 51, 2) smoothed, in pixels"
    usable: NDArray[np.bool_]
    "(T,) whether the mouth can be drawn; the points of other frames are ignored"
    jumps: NDArray[np.bool_]
    "(T,) whether the picture does not continue the one before (a cut, or a loop)"


@dataclass(frozen=True)
class MouthMotion:
    """What `draw_mouths` takes, for each of T frames."""

    gaps: Array
    "(T,) pixels between the inner lips"
    widths: Array
    "(T,) times the width in the source"
    weights: Array
    "(T,) 0 the source's own mouth .. 1 the request"

    def __len__(self) -> int:
        return len(self.gaps)

    def at(self, frames: slice) -> "MouthMotion":
        """The same values for some of the frames."""
        return MouthMotion(self.gaps[frames], self.widths[frames], self.weights[frames])


@dataclass(frozen=True)
class Wish:
    """What a voice asks of any mouth, smoothed, for each of T frames."""

    share: Array
    "(T,) opening as a share of a wide vowel, slightly negative where lips are pressed"
    spread: Array
    "(T,) -1 rounded .. 1 spread"

    def at(self, frames: slice | NDArray[np.int64]) -> "Wish":
        """The same values for some of the frames."""
        return Wish(self.share[frames], self.spread[frames])


def plan_wish(speech: Speech, seconds: NDArray[np.floating]) -> Wish:
    """What the voice asks for, once over the whole video whose frames are shown at `seconds` (T,)."""
    spread = np.clip(np.asarray(speech.width, dtype=np.float64), -1, 1)
    return Wish(_smooth_in_time(open_share(speech), seconds), _smooth_in_time(spread, seconds))


def plan_motion(wish: Wish, showing: Showing, gap_cap: float) -> MouthMotion:
    """The motion of one mouth; `gap_cap` is its bank's, in eye distances."""
    size = np.where(showing.usable, measure_eye_distance(showing.points), 0.0)
    wide = min(measure_range(showing), gap_cap)
    gaps = np.minimum(wish.share * wide, gap_cap) * size
    return MouthMotion(gaps, _plan_widths(wish, showing), ease(showing))


def measure_range(showing: Showing) -> float:
    """The wide vowel of this person in eye distances, as the source shows it."""
    if not showing.usable.any():
        return STILL_RANGE
    points = showing.points[showing.usable]
    own = measure_gap(points) / np.maximum(measure_eye_distance(points), 1e-3)
    wide = float(np.quantile(own, 0.97))
    if wide - float(np.quantile(own, 0.05)) < 0.03:  # a still, or someone who does not speak
        return float(np.clip(wide, STILL_RANGE, STILL_WIDEST))
    return float(np.clip(wide, NARROWEST_RANGE, WIDEST_RANGE))


def open_share(speech: Speech) -> Array:
    """(T,) opening as a share of this person's wide vowel, slightly negative where lips are pressed."""
    opening = np.clip(np.asarray(speech.opening, dtype=np.float64), 0.0, 1.2)
    voiced = opening[opening > 0.1]
    loud = float(np.quantile(voiced, 0.95)) if len(voiced) else 1.0
    opening = opening * float(np.clip(0.92 / max(loud, 1e-3), 1.0, 1.8))
    opening = np.where(opening < 2 * KNEE, opening**2 / (4 * KNEE), opening - KNEE) / (1 - KNEE)
    opening = opening**LIVELINESS
    pressed = _soft((np.asarray(speech.closure, dtype=np.float64) - 0.35) / 0.4)
    return np.minimum(opening, 1.1) * (1 - pressed) - OVER_CLOSE * pressed


def ease(showing: Showing) -> Array:
    """(T,) weights that rise and fall near frames that cannot be drawn, and are 0 on these.

    The picture jumps at a cut anyway, so nothing is eased across one.
    """
    usable = showing.usable
    weights = np.where(usable, 1.0, 0.0)
    starts = np.flatnonzero(usable & ~np.concatenate([[False], usable[:-1]]))
    ends = np.flatnonzero(usable & ~np.concatenate([usable[1:], [False]]))
    for start, end in zip(starts, ends, strict=True):
        cuts = start + 1 + np.flatnonzero(showing.jumps[start + 1 : end + 1])
        first = int(cuts[0]) if len(cuts) else end + 1
        last = int(cuts[-1]) if len(cuts) else start
        if start > 0 and not showing.jumps[start]:
            since = showing.seconds[start:first] - showing.seconds[start - 1]
            weights[start:first] *= _soft(since / EASE_SECONDS)
        if end + 1 < len(usable) and not showing.jumps[end + 1]:
            until = showing.seconds[end + 1] - showing.seconds[last : end + 1]
            weights[last : end + 1] *= _soft(until / EASE_SECONDS)
    return weights


def _plan_widths(wish: Wish, showing: Showing) -> Array:
    if not showing.usable.any():
        return np.ones(len(wish.share))
    own = measure_width(showing.points)
    usual = float(np.median(own[showing.usable]))
    wanted = usual * (1 + WIDTH_SHARE * wish.spread - OPEN_NARROWS * np.clip(wish.share, 0, 1))
    ratio = wanted / np.maximum(own, 0.3 * usual)
    return np.where(showing.usable, np.clip(ratio, *WIDTH_LIMITS), 1.0)


def _smooth_in_time(values: Array, seconds: NDArray[np.floating]) -> Array:
    """Gaussian mean over neighbours by their times, so that frame rates may vary; nothing is delayed."""
    total, weight = values.copy(), np.ones(len(values))
    for step in range(1, min(4, len(values))):
        near = np.exp(-0.5 * ((seconds[step:] - seconds[:-step]) / SMOOTHING_SECONDS) ** 2)
        total[step:] += near * values[:-step]
        weight[step:] += near
        total[:-step] += near * values[step:]
        weight[:-step] += near
    return total / weight


def _soft(t: Array) -> Array:
    t = np.clip(t, 0, 1)
    return t * t * (3 - 2 * t)
