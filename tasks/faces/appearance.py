"""How a face looks, as a direction: an embedding that needs no download.

Local binary patterns of 6 by 6 cells of a portrait (Ahonen, Hadid, Pietikäinen, PAMI 2006), square
roots of their frequencies, less those of a mean face.  Light in place of size: it tells apart who is
seen in one footage (hair, glasses, beard, skin).  It does not recognise somebody in another
photograph; figures stand in weights/appearance.md.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.faces.people import Likeness
from tasks.faces.portraits import SIDE, Picture, Portrait

MEAN_FACE: Final = Path(__file__).parents[1] / "weights" / "appearance.npy"
#: Of cosines between portraits, as measured (weights/appearance.md).
LIKENESS: Final = Likeness(same=0.40, even=0.26, other=0.10, near=0.30)

_CELLS: Final = 6
#: Patterns with at most two changes between light and dark round the circle, and one bin for all others.
_BINS: Final = 59
#: Neighbours, round the circle.
_RING: Final = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


class Appearance:
    """The embedding of our own."""

    name: Final = "embedded"
    likeness: Final = LIKENESS

    def embed(self, portraits: Sequence[Portrait]) -> NDArray[np.float32]:
        """(K, 2124) unit vectors."""
        if not portraits:
            return np.zeros((0, _CELLS * _CELLS * _BINS), np.float32)
        found = np.stack([textures(one.picture) for one in portraits]) - mean_face()
        return np.asarray(found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6), np.float32)


@cache
def mean_face() -> NDArray[np.float32]:
    """(2124,) the mean of `textures` over people."""
    return np.asarray(np.load(MEAN_FACE, allow_pickle=False), np.float32)


def textures(picture: Picture) -> NDArray[np.float32]:
    """(2124,) how often each pattern is seen in each cell of (112, 112, 3) RGB, square roots."""
    grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.2)
    small = cv2.resize(grey, (SIDE // 2, SIDE // 2), interpolation=cv2.INTER_AREA)
    codes = _patterns(np.asarray(small, np.float32))
    edges = np.linspace(0, len(codes), _CELLS + 1).astype(int)
    cells = [
        np.bincount(codes[a:b, c:d].ravel(), minlength=_BINS) / ((b - a) * (d - c))
        for a, b in pairwise(edges)
        for c, d in pairwise(edges)
    ]
    return np.asarray(np.sqrt(np.concatenate(cells)), np.float32)


def _patterns(grey: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H - 2, W - 2) bin of the pattern round each pixel."""
    height, width = grey.shape
    middle = grey[1:-1, 1:-1]
    code = np.zeros(middle.shape, np.uint8)
    for bit, (down, right) in enumerate(_RING):
        around = grey[1 + down : height - 1 + down, 1 + right : width - 1 + right]
        code |= (around >= middle).astype(np.uint8) << bit
    return np.asarray(_bin_of_code()[code], np.uint8)


@cache
def _bin_of_code() -> NDArray[np.uint8]:
    """(256,)"""
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    uniform = np.count_nonzero(bits != np.roll(bits, 1, 1), axis=1) <= 2
    return np.where(uniform, np.cumsum(uniform), 0).astype(np.uint8)
