"""How much better than bicubic a network enlarges: PSNR of luma on the field's test sets, by its protocol.

Y by ITU-R BT.601 of RGB pictures, grey ones as they are; bicubic down, 8 bits; two pixels of border left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from tasks.training.upscale.bicubic import scaled
from tasks.upscale.tiles import Enlarging

Luma = NDArray[np.float64]

BORDER = 2
#: BT.601's studio swing: code = 16 + 219 y.
_FOOT, _SPAN = 16.0, 219.0


@dataclass(frozen=True)
class Score:
    """One picture's figures, decibels."""

    name: str
    bicubic: float
    network: float


@dataclass(frozen=True)
class TestPicture:
    """A picture of a test set: its luma in code values, and the half of it that is enlarged again."""

    name: str
    luma: Luma
    half: Luma
    "whole code values"


def pictures(folder: Path) -> Iterator[TestPicture]:
    """Those of a test set's folder, by name."""
    for path in sorted(folder.iterdir()):
        read = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if read is None:
            continue
        luma = luma_codes(np.asarray(read, np.uint8))
        luma = luma[: luma.shape[0] // 2 * 2, : luma.shape[1] // 2 * 2]
        yield TestPicture(path.stem.rpartition("_")[2], luma, _codes(scaled(luma, Fraction(1, 2))))


def luma_codes(bgr: NDArray[np.uint8]) -> Luma:
    """(H, W) Y of an 8-bit BGR picture, a grey one's own values."""
    blue, green, red = (bgr[..., k].astype(np.float64) for k in range(3))
    if np.array_equal(blue, green) and np.array_equal(blue, red):
        return blue
    return _codes(_FOOT + (65.481 * red + 128.553 * green + 24.966 * blue) / 255)


def scores(network: Enlarging, folder: Path) -> list[Score]:
    """Every picture of a test set enlarged twice, against bicubic."""
    return [
        Score(
            one.name,
            psnr(_codes(scaled(one.half, Fraction(2))), one.luma),
            psnr(_codes(enlarged(network, one.half)), one.luma),
        )
        for one in pictures(folder)
    ]


def enlarged(network: Enlarging, luma: Luma) -> Luma:
    """Code values of a grey picture through a network of RGB."""
    grey = torch.from_numpy(((luma - _FOOT) / _SPAN).astype(np.float32))
    with torch.inference_mode():
        out = network(grey[None, None].expand(1, 3, -1, -1))
    return _FOOT + _SPAN * out[0, 1].numpy().astype(np.float64)


def psnr(found: Luma, wanted: Luma) -> float:
    """Decibels of code values, the border left out."""
    inside = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    error = float(np.square(found[inside] - wanted[inside]).mean())
    return float(10 * np.log10(255**2 / error))


def mean_gain(found: list[Score]) -> float:
    return float(np.mean([score.network - score.bicubic for score in found]))


def _codes(values: Luma) -> Luma:
    return np.asarray(np.rint(values).clip(0, 255), np.float64)
