"""Decode times rise and stay below pts; rescaled times are the nearest."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stamps import decode_stamps, rescaled


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=60), st.integers(0, 16), st.randoms())
@settings(max_examples=200, deadline=None)
def test_decode_times_rise_and_stay_below_pts(gaps: list[int], depth: int, random: object) -> None:
    pts = np.cumsum(np.array(gaps, np.int64)) - 500
    ranks = list(range(len(gaps)))
    for start in range(0, len(ranks), depth + 1):
        window = ranks[start : start + depth + 1]
        random.shuffle(window)  # type: ignore[attr-defined]
        ranks[start : start + depth + 1] = window
    reorder = max(0, *(i - r for i, r in enumerate(ranks)), 0)
    dts = decode_stamps(pts, reorder)
    assert len(dts) == len(pts)
    assert np.all(np.diff(dts) > 0) and np.all(dts <= pts[ranks])


def test_rescaling_rounds_to_nearest_and_survives_large_numbers() -> None:
    assert rescaled(np.array([0, 1001, 2002, -1001]), Fraction(1, 30000), Fraction(1, 1000)).tolist() == [
        0,
        33,
        67,
        -33,
    ]
    assert rescaled(np.array([1, -1, 3]), Fraction(1, 2), Fraction(1)).tolist() == [1, -1, 2]
    big = 10**15
    assert rescaled(np.array([big]), Fraction(1, 10**9), Fraction(1, 90000)).tolist() == [round(big * 90000 / 10**9)]
