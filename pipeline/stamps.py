"""Decode times of a whole video from its presentation times; pure arithmetic.

    sp = pts in rising order;  rank[i] = place in sp of the packet that is i-th in decode order
    D  = max(0, max(i - rank[i]))
    dts[i] = sp[i-D]  if i >= D;  before, D steps lead up to sp[0] from sp[0] - (sp[n-1] - sp[n-1-D])

The result is strictly increasing and never above pts, whatever the gaps.
The lead is as long as the last D gaps, so that in mp4, where a track lasts the sum of its dts gaps,
the track lasts exactly as long as its frames are shown.  Segments follow each other in both orders,
so D is the largest of the parts' own.
"""

from fractions import Fraction

import numpy as np
import numpy.typing as npt

Stamps = npt.NDArray[np.int64]


def rescaled(pts: Stamps, source: Fraction, target: Fraction) -> Stamps:
    """`pts` on another time base, to the nearest tick, halves away from zero (as FFmpeg's muxers do)."""
    ratio = source / target
    top = np.abs(pts).astype(object) * ratio.numerator if _overflows(pts, ratio) else np.abs(pts) * ratio.numerator
    nearest = (2 * top + ratio.denominator) // (2 * ratio.denominator)
    return np.sign(pts) * np.asarray(nearest, dtype=np.int64)


def decode_stamps(sorted_pts: Stamps, reorder_frames: int) -> Stamps:
    """(n,) dts in decode order; `sorted_pts` is strictly increasing, `reorder_frames` is D above."""
    if reorder_frames == 0:
        return sorted_pts
    lead = int(sorted_pts[-1] - sorted_pts[-1 - reorder_frames])
    steps = np.arange(reorder_frames, 0, -1, dtype=np.int64)
    ahead = sorted_pts[0] + (-lead * steps) // reorder_frames
    return np.concatenate([ahead, sorted_pts[:-reorder_frames]])


def _overflows(pts: Stamps, ratio: Fraction) -> bool:
    largest = int(np.abs(pts).max(initial=0))
    return 2 * largest * ratio.numerator + ratio.denominator >= 1 << 63
