"""Bicubic scaling as the field's tables have it: Keys' kernel, widened to go down, edges mirrored.

This is what MATLAB's `imresize(picture, factor, "bicubic")` computes, on which published figures stand.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float64]

#: Keys' parameter (IEEE Trans. ASSP 29(6), 1981, equation 15).
_A = -0.5


def scaled(picture: Picture, factor: Fraction) -> Picture:
    """A plane (H, W) by `factor`, sides rounded up, not clipped and not rounded."""
    height, width = (math.ceil(side * factor) for side in picture.shape)
    rows = _matrix(picture.shape[0], height, factor)
    columns = _matrix(picture.shape[1], width, factor)
    return np.asarray(rows @ picture @ columns.T, np.float64)


def _matrix(before: int, after: int, factor: Fraction) -> Picture:
    """(after, before): each new sample as a weighted mean of old ones."""
    widening = max(1.0, float(1 / factor))
    reach = 4 * widening
    centres = (np.arange(after) + 0.5) / float(factor) - 0.5
    first = np.floor(centres - reach / 2).astype(int)
    taps = first[:, None] + np.arange(math.ceil(reach) + 2)
    weights = _kernel((centres[:, None] - taps) / widening)
    weights /= weights.sum(1, keepdims=True)
    mirrored = np.mod(taps, 2 * before)
    mirrored = np.where(mirrored < before, mirrored, 2 * before - 1 - mirrored)
    matrix = np.zeros((after, before))
    np.add.at(matrix, (np.arange(after)[:, None], mirrored), weights)
    return matrix


def _kernel(x: Picture) -> Picture:
    x = np.abs(x)
    near = ((_A + 2) * x - (_A + 3)) * x**2 + 1
    far = ((_A * x - 5 * _A) * x + 8 * _A) * x - 4 * _A
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
