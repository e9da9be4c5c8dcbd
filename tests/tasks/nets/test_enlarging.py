"""Enlarging networks: equal to the reference vectors by key, read off a checkpoint, strict in words."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tasks.checkpoint import between, fill, read
from tasks.errors import WeightsError
from tasks.nets.detail_net import bilinear_twice
from tasks.nets.enlarging import enlarging_network
from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.shuffle import pixel_shuffle
from tasks.nets.srvgg_net import SRVGGNet


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
def test_shuffled_pixels_lie_where_torch_lays_them(scale: int, dtype: torch.dtype, format: torch.memory_format) -> None:
    phases = torch.rand(2, 3 * scale**2, 5, 7).to(dtype=dtype, memory_format=format)
    assert torch.equal(pixel_shuffle(phases, scale), torch.nn.functional.pixel_shuffle(phases, scale))


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 7), (64, 48)])
def test_twice_as_large_is_bilinear(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size)
    wanted = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
    assert float((bilinear_twice(x) - wanted).abs().max()) < 1e-6


SMALL = {
    "compact x4": lambda: SRVGGNet(4, 3, 8),
    "compact x2": lambda: SRVGGNet(2, 2, 8),
    "dense x4": lambda: RRDBNet(4, 2, 8, 4),
    "dense x2": lambda: RRDBNet(2, 1, 8, 4),
    "dense x1": lambda: RRDBNet(1, 1, 8, 4),
}


def recipe(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe", folder / "recipe.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "kind"),
    [("rrdbnet_x4plus", RRDBNet), ("srvgg_animevideov3", SRVGGNet), ("srvgg_general_x4v3", SRVGGNet)],
)
@torch.inference_mode()
def test_outputs_equal_the_reference_vectors(test_data: Path, name: str, kind: type[nn.Module]) -> None:
    folder = test_data / "reference"
    keys = json.loads((folder / f"{name}_keys.json").read_text())
    made = recipe(folder)
    network = enlarging_network(made.state(keys), name)
    assert isinstance(network, kind)
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == keys
    expected = np.load(folder / f"{name}_io.npz")["out_fp32"]
    found = network(torch.from_numpy(made.inp("sr.x", (1, 3, 24, 20)))).numpy()
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(found - expected).max() / scale <= 1e-4


@pytest.mark.parametrize("name", sorted(SMALL))
@torch.inference_mode()
def test_a_checkpoint_tells_its_network(name: str, tmp_path: Path) -> None:
    made = SMALL[name]().eval()
    state = made.state_dict()
    x = torch.rand(1, 3, 12, 8)
    save_file(state, tmp_path / "bare.safetensors")
    for container in ("params_ema", "params", "state_dict"):
        torch.save({container: {f"module.{key}": value for key, value in state.items()}}, tmp_path / f"{container}.pth")
    for path in sorted(tmp_path.iterdir()):
        again = enlarging_network(read(path), path.name)
        assert again.scale == made.scale
        assert torch.equal(again(x), made(x)), path.name
    assert made(x).shape == (1, 3, 12 * made.scale, 8 * made.scale)


def test_real_weights_enlarge_a_picture(test_data: Path) -> None:
    path = test_data / "weights" / "realesr-animevideov3_from_ncnn_fp16.pth"
    network = enlarging_network(read(path), path.name)
    assert isinstance(network, SRVGGNet) and (network.scale, network.margin) == (4, 18)
    flat = torch.full((1, 3, 40, 40), 0.5)
    with torch.inference_mode():
        assert (network(flat)[..., 72:-72, 72:-72] - 0.5).abs().max() < 0.05


def changed(state: dict[str, Tensor], **others: Tensor | None) -> dict[str, Tensor]:
    mixed = state | {key.replace("__", "."): value for key, value in others.items()}
    return {key: value for key, value in mixed.items() if value is not None}


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ({"body__2__bias": None}, "body.2.bias 8 is missing"),
        ({"body__2__bias": torch.zeros(3)}, "body.2.bias is 3, expected 8"),
        ({"body__2__bias": torch.full((8,), float("nan"))}, "body.2.bias holds values that are not finite"),
        ({"head__weight": torch.zeros(2, 2)}, "found head.weight 2x2, which the network does not have"),
    ],
)
def test_the_first_mismatch_is_named(others: dict[str, Tensor | None], words: str) -> None:
    state = changed(SRVGGNet(4, 3, 8).state_dict(), **others)
    with pytest.raises(WeightsError) as refused:
        enlarging_network(state, "mine.pth")
    assert str(refused.value) == (
        f"mine.pth: these are not weights of SRVGGNet: {words}; choose the file of that network"
    )


def test_weights_of_another_kind_are_refused_in_words() -> None:
    with pytest.raises(WeightsError, match="begin with 'stem'; expected those of RRDBNet or SRVGGNetCompact"):
        enlarging_network({"stem": torch.zeros(1)}, "other.pth")


def test_strength_lies_between_two_checkpoints() -> None:
    first, second = SRVGGNet(2, 1, 4).state_dict(), SRVGGNet(2, 1, 4).state_dict()
    half = between(first, second, 0.5, of="general and wdn")
    for key in first:
        assert torch.allclose(half[key], (first[key] + second[key]) / 2)
        assert torch.equal(between(first, second, 1, of="")[key], first[key])
        assert torch.equal(between(first, second, 0, of="")[key], second[key])
    fill(SRVGGNet(2, 1, 4), half, of="half")
    with pytest.raises(WeightsError, match=r"general and wdn: these cannot be mixed: body.4.weight is .*, expected"):
        between(first, SRVGGNet(4, 1, 4).state_dict(), 0.5, of="general and wdn")
    with pytest.raises(ValueError, match="expected 0 to 1"):
        between(first, second, 1.5, of="")
