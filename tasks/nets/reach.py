"""How far an enlarging network looks, measured where it cannot be counted; knows no network and no file."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

#: Of a code of 8 bits: what a tile may differ from the whole picture, with room for other processors' rounding.
_ALLOWED: Final = 0.5 / 255
_MARGINS: Final = (8, 16, 32, 64)
_HEIGHT, _HALF_WIDTH = 64, 128


def measured_margin(network: Callable[[Tensor], Tensor], multiple: int) -> int | None:
    """Pixels that both sides of a cut must see beyond it to come out as uncut; None where none of _MARGINS is enough.

    Tried on detail that is bright on one side and dark on the other, so that averages over the picture show.
    """
    width = 2 * _HALF_WIDTH
    picture = torch.rand((1, 3, _HEIGHT, width), generator=torch.Generator().manual_seed(1))
    picture[..., _HALF_WIDTH:] = 0.75 + 0.25 * picture[..., _HALF_WIDTH:]
    picture[..., :_HALF_WIDTH] *= 0.25
    picture = _even(picture, multiple)
    with torch.inference_mode():
        whole = network(picture)
        for margin in _MARGINS:
            if margin % multiple == 0 and _differ(network, picture, whole, margin) <= _ALLOWED:
                return margin
    return None


def _differ(network: Callable[[Tensor], Tensor], picture: Tensor, whole: Tensor, margin: int) -> float:
    """The most that two tiles differ from the whole in what is kept of them."""
    width = picture.shape[3]
    middle, scale = width // 2, whole.shape[3] // width
    left = network(picture[..., : middle + margin])[..., : scale * middle]
    right = network(picture[..., middle - margin :])[..., scale * margin :]
    return float((torch.cat((left, right), 3) - whole).abs().max())


def _even(picture: Tensor, multiple: int) -> Tensor:
    """Cut down so that sides, and the middle, are multiples."""
    height, width = (size // (2 * multiple) * 2 * multiple for size in picture.shape[2:])
    return picture[..., : max(height, multiple), : max(width, 2 * multiple)]
