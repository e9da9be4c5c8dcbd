"""RLFN by its authors' weights: recognised by its keys, better than bicubic, and never cut into tiles."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tasks.checkpoint import read
from tasks.nets.enlarging import enlarging_network
from tasks.nets.reach import measured_margin
from tasks.nets.rlfn_net import RLFNNet


def _small(scale: int = 2) -> RLFNNet:
    torch.manual_seed(1)
    return RLFNNet(scale, 8, 10, 4).eval()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_its_keys_tell_it_and_its_sizes(scale: int) -> None:
    wanted = _small(scale)
    found = enlarging_network(wanted.state_dict(), "x.pth")
    assert isinstance(found, RLFNNet) and found.scale == scale
    x = torch.rand(2, 3, 37, 22)
    with torch.inference_mode():
        assert torch.equal(found(x), wanted(x))
        assert found(x).shape == (2, 3, scale * 37, scale * 22)


@pytest.mark.parametrize("size", [(5, 5), (9, 40), (16, 17)])
def test_pictures_smaller_than_what_it_looks_at_are_enlarged_too(size: tuple[int, int]) -> None:
    with torch.inference_mode():
        assert _small()(torch.rand(1, 3, *size)).isfinite().all()


def test_the_authors_weights_enlarge_better_than_bicubic_and_only_whole(test_data: Path) -> None:
    network = enlarging_network(read(test_data / "weights" / "RLFN_x4_ntire2022.pth"), "RLFN").eval()
    assert isinstance(network, RLFNNet) and network.scale == 4 and not network.tileable
    assert measured_margin(network, 1) is None, "so it is right that it is never cut"
    picture = cv2.imread(str(next((test_data / "data" / "super_resolution" / "Set5").rglob("*butterfly*"))))
    sharp = torch.from_numpy(picture[: picture.shape[0] // 4 * 4, : picture.shape[1] // 4 * 4, ::-1].copy())
    sharp = sharp.permute(2, 0, 1)[None].float() / 255
    size = (sharp.shape[2] // 4, sharp.shape[3] // 4)
    small = (255 * F.interpolate(sharp, size, mode="bicubic", antialias=True)).round().clamp(0, 255) / 255
    with torch.inference_mode():
        ours, plain = network(small), F.interpolate(small, sharp.shape[2:], mode="bicubic")
    assert _decibels(ours, sharp) - _decibels(plain, sharp) > 3


def _decibels(one: torch.Tensor, other: torch.Tensor) -> float:
    apart = (one.clamp(0, 1) - other)[..., 8:-8, 8:-8]
    return float(-10 * np.log10(float(apart.square().mean())))
