"""What was drawn given the colours of the face that it is drawn into: mean and covariance of the skin that both show.

The map between two normal distributions of colours that moves them least (Pitie and Kokaram, CVMP 2007, "The linear
Monge-Kantorovitch linear colour mapping", equation 7), on R'G'B' as the generator draws it.  Each face is a function
of its own crop alone, so segments cannot differ; nothing need be smoothed over time, as both sides are measured in
the same frame: casts of 6 % and contrasts of 15 % that come and go at random leave no more flicker than none do.
"""

from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as functional
from torch import Tensor

from tasks.lip_sync.wav2lip.draw import resized
from tasks.nets.wav2lip import SIDE

#: Cells of a crop's side, so coarse that a generator's lack of detail does not count as a lack of contrast.
_CELLS: Final = SIDE // 4
#: The skin around the mask counts as well, so many cells far.
_AROUND: Final = 2
#: Noise of colours, as a variance: where a face has less spread than this nothing is stretched.
_NOISE: Final = (3 / 255) ** 2
#: By how much contrast along any direction of colours is changed at most, and by how much the mean moves.
WEAKEST, STRONGEST = 0.6, 1.6
FARTHEST: Final = 0.25
#: Fewer cells of skin say nothing.
_LEAST_CELLS: Final = 12.0


def match_colour(source: Tensor, drawn: Tensor, masks: Tensor, unlike: Tensor) -> Tensor:
    """What was drawn (N, 3, s, s) with the colours of the source (N, 3, s, s).

    `masks` (N, 1, s, s) is what will be shown of it, 0 too where something lies before the face; `unlike`
    (N, 1, 24, 24) is 1 in cells that are to differ: the mouth.
    """
    shown = resized(masks, _CELLS)
    known = functional.max_pool2d(shown, 2 * _AROUND + 1, 1, _AROUND) * (1 - unlike)  # (N, 1, 24, 24)
    own_mean, own_spread = _moments(resized(source, _CELLS), known)
    new_mean, new_spread = _moments(resized(drawn, _CELLS), known)
    # Nine numbers a face: faster on the CPU than a GPU's solver, and the same wherever the rest is computed.
    stretch = _stretch(new_spread.cpu(), own_spread.cpu()).to(drawn.device)  # (N, 3, 3)
    move = (own_mean - new_mean).clamp(-FARTHEST, FARTHEST)
    centred = drawn - new_mean.float()[:, :, None, None]
    matched = torch.einsum("nij,njhw->nihw", stretch.float(), centred) + (new_mean + move).float()[:, :, None, None]
    enough = known.sum((1, 2, 3)) >= _LEAST_CELLS
    return torch.where(enough[:, None, None, None], matched, drawn)


def _moments(cells: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (N, 3) and covariance (N, 3, 3) of cells (N, 3, 24, 24) by their weights (N, 1, 24, 24)."""
    colours, parts = cells.double().flatten(2), weights.double().flatten(2)
    parts = parts / parts.sum(2, keepdim=True).clamp(min=1e-9)
    mean = (colours * parts).sum(2)
    apart = colours - mean[..., None]
    spread = (apart[:, :, None] * apart[:, None] * parts[:, None]).sum(3)
    return mean, spread + _NOISE * torch.eye(3, dtype=torch.float64, device=cells.device)


def _stretch(new: Tensor, own: Tensor) -> Tensor:
    """(N, 3, 3) symmetric and positive: the map from colours that spread as `new` to such as `own`, within limits."""
    root, back = _power(new, 0.5), _power(new, -0.5)
    exact = back @ _power(root @ own @ root, 0.5) @ back
    return _of_values(exact, lambda values: values.clamp(WEAKEST, STRONGEST))


def _power(matrix: Tensor, exponent: float) -> Tensor:
    return _of_values(matrix, lambda values: values.clamp(min=1e-9) ** exponent)


def _of_values(matrix: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The symmetric matrices (N, 3, 3) with other values along their own axes."""
    values, axes = torch.linalg.eigh(matrix)
    changed: Tensor = axes * change(values)[:, None] @ axes.transpose(1, 2)
    return changed
