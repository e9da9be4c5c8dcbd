"""How a face usually looks, and by how much each cell of it differs from that in each frame; pure numpy.

What is usual depends on how the head is turned and how far the mouth is open: each cell is a straight line over
these, fitted so that what is there for a part of the time only, as a hand, has no say (iteratively reweighted least
squares with Tukey's biweight).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.occlusion.surface import Surfaces

Array = NDArray[np.float64]

#: Fewer frames say nothing of what is usual; of more so many, spread over all of them, are fitted.
LEAST_FRAMES: Final = 40
_FITTED_FRAMES: Final = 300
_ROUNDS: Final = 4
#: How strongly a cell is held to depend on nothing, in frames.
_RIDGE: Final = 3.0
#: A difference beyond so many spreads of a cell (the share of its differences that count as usual), and of what
#: any cell may differ by, in parts of the face's own light, counts 1.
_SPREADS: Final = 3.0
_USUAL_SHARE: Final = 0.7
_FLOOR: Final = 0.12
#: Frames worked on at once: 20 MB.
_AT_ONCE: Final = 4000


def strangeness(surfaces: Surfaces, poses: Array, certain: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """(K, 11, 20) 0 as usual, from 1 on not; None where too little is known.

    `poses` (K, P) is what the looks of this face depend on, `certain` (K,) in which frames it surely is the face.
    """
    lit = surfaces.light.min(1) > 0
    known = np.flatnonzero(certain & lit)
    if len(known) < LEAST_FRAMES:
        return None
    chosen = known[np.linspace(0, len(known) - 1, min(len(known), _FITTED_FRAMES)).astype(int)]
    middle, spread = poses[chosen].mean(0), np.maximum(poses[chosen].std(0), 0.01)
    terms = np.concatenate([np.ones((len(poses), 1)), (poses - middle) / spread], 1)
    lines, usual = _fitted(terms[chosen], _in_own_light(surfaces, chosen))
    found = np.zeros((len(surfaces), surfaces.cells[0, ..., 0].size), np.float32)
    for start in range(0, len(surfaces), _AT_ONCE):
        some = np.arange(start, min(start + _AT_ONCE, len(surfaces)))
        apart = np.abs(_in_own_light(surfaces, some) - _on_lines(terms[some], lines)).max(2)
        found[some] = apart / (_SPREADS * usual + _FLOOR)
    found[~lit] = 0
    return found.reshape(len(surfaces), *surfaces.cells.shape[1:3])


def _in_own_light(surfaces: Surfaces, rows: NDArray[np.int64]) -> Array:
    """(F, 220, 3) cells over the light of their frame."""
    cells = surfaces.cells[rows].reshape(len(rows), -1, 3).astype(np.float64)
    return cells / np.maximum(surfaces.light[rows], 5)[:, None]


def _on_lines(terms: Array, lines: Array) -> Array:
    """(F, cells, 3) what the lines (P, cells, 3) say for terms (F, P)."""
    return (terms @ lines.reshape(len(lines), -1)).reshape(len(terms), *lines.shape[1:])


def _fitted(terms: Array, seen: Array) -> tuple[Array, Array]:
    """Lines (P, cells, 3) through what was seen (F, cells, 3), and how far (cells,) that usually lies from them."""
    apart = np.abs(seen - np.median(seen, 0)).max(2)  # (F, cells)
    held = _RIDGE * np.diag([1e-6, *[1.0] * (terms.shape[1] - 1)])
    lines = np.zeros((terms.shape[1], *seen.shape[1:]))
    for _ in range(_ROUNDS):
        weights = np.clip(1 - (apart / (4 * (np.quantile(apart, 0.6, axis=0) + 0.02))) ** 2, 0, 1) ** 2
        left = np.einsum("fa,fk,fb->kab", terms, weights, terms, optimize=True) + held
        right = np.einsum("fa,fk,fkc->kac", terms, weights, seen, optimize=True)
        lines = np.linalg.solve(left, right).transpose(1, 0, 2)
        apart = np.abs(seen - _on_lines(terms, lines)).max(2)
    return lines, np.quantile(apart, _USUAL_SHARE, axis=0)
