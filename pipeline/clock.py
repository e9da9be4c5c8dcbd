"""Frame rate and frame times out of bare timestamps; pure arithmetic."""

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]

_COMMON = tuple(Fraction(n) for n in (24, 25, 30, 50, 60, 10, 12, 15, 20, 48, 90, 100, 120, 240)) + tuple(
    Fraction(n, 1001) for n in (24000, 30000, 60000, 120000, 15000, 12000)
)


def constant_rate(pts: Times, time_base: Fraction, hints: Iterable[Fraction | None]) -> Fraction | None:
    """The frame rate whose grid every pts lies on within a tick, None where there is none.

    `hints` are rates a header claims, tried before the common ones; simple wins over exact.
    """
    if len(pts) < 2:
        return next((hint for hint in hints if hint), None)
    gap = Fraction(int(pts[-1] - pts[0]), len(pts) - 1) * time_base
    measured = 1 / gap
    claimed = [hint for hint in hints if hint]
    near = [rate for rate in (*claimed, *_COMMON) if abs(rate - measured) < measured / 100]
    for rate in (*near, measured.limit_denominator(1001), measured):
        ideal = np.arange(len(pts)) * float(1 / (rate * time_base))
        error = (pts - pts[0]) - ideal
        if error.max() - error.min() <= 1.5:
            return rate
    return None


def mean_rate(pts: Times, end: int, time_base: Fraction) -> Fraction:
    """Frames a second over the whole."""
    return (len(pts) / ((end - int(pts[0])) * time_base)).limit_denominator(10_000)


def end_of_last(pts: Times, duration: int, rate_gap: int) -> int:
    """Where the last frame ends: by its own duration where that is plausible, else the usual gap."""
    usual = int(np.median(np.diff(pts))) if len(pts) > 1 else max(1, duration or rate_gap)
    return int(pts[-1]) + (duration if 0 < duration <= 10 * usual else max(1, usual))


def unwrapped(times: list[int | None], usual_gap: int) -> Times:
    """Strictly increasing times of frames in the order they are shown, from a clock that stops or jumps back."""
    offset, last, out = 0, None, []
    for time in times:
        shown = None if time is None else time + offset
        if last is not None and (shown is None or shown <= last):
            shown = last + usual_gap
            offset = shown - time if time is not None else offset
        shown = 0 if shown is None else shown
        out.append(shown)
        last = shown
    return np.array(out, dtype=np.int64)
