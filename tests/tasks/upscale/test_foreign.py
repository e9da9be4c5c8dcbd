"""Architectures that are not ours: how far they look is measured, they are never cut closer, and refusals say why."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tasks.errors import JobError, WeightsError
from tasks.nets.reach import measured_margin
from tasks.residency import residents
from tasks.upscale.foreign import ForeignNet, foreign_network
from tests.tasks.pictures import picture_format, random_batch
from tests.tasks.upscale.test_task import rendered, with_file

_OURS = WeightsError("weights x.pth begin with 'net.0.weight'; expected those of RRDBNet")


class Row(nn.Module):
    """`depth` convolutions of 3x3, made twice as large; with `whole` each pixel also takes the picture's mean."""

    def __init__(self, depth: int, whole: bool = False) -> None:
        super().__init__()
        self.net = nn.Sequential(*(nn.Conv2d(3, 3, 3, 1, 1) for _ in range(depth)))
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        out = x + 0.2 * self.net(x) + (x.mean((2, 3), keepdim=True) if self.whole else 0)
        return torch.nn.functional.interpolate(out, scale_factor=2, mode="nearest")


class Described:
    """As much of spandrel's ImageModelDescriptor as is looked at."""

    def __init__(self, model: nn.Module, scale: int = 2, purpose: str = "SR", multiple: int = 1) -> None:
        self.model, self.scale, self.purpose = model, scale, purpose
        self.input_channels = self.output_channels = 3
        self.architecture = SimpleNamespace(name="Row")
        self.size_requirements = SimpleNamespace(minimum=0, multiple_of=multiple, square=False)
        self.supports_half = self.supports_bfloat16 = False

    def __call__(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x)
        return out.clamp(0, 1)


def _like_spandrel(described: Callable[[dict[str, Tensor]], Described]) -> Any:
    class Unsupported(Exception):
        pass

    class Loader:
        def __init__(self, device: str) -> None:
            assert device == "cpu"

        def load_from_state_dict(self, state: dict[str, Tensor]) -> Described:
            if not any(name.startswith("net.") for name in state):
                raise Unsupported
            return described(state)

    module = ModuleType("spandrel")
    module.__dict__.update(ModelLoader=Loader, UnsupportedModelError=Unsupported, __version__="0.0")
    return module


@pytest.fixture(autouse=True)
def _own_residents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residents, "_open", {})


@pytest.fixture
def spandrel(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in that knows one architecture, with or without a look at the whole picture."""

    def described(state: dict[str, Tensor]) -> Described:
        depth = sum(name.endswith("weight") for name in state)
        model = Row(depth, whole="net.whole" in state)
        model.load_state_dict({name: one for name, one in state.items() if name != "net.whole"})
        return Described(model)

    module = _like_spandrel(described)
    monkeypatch.setitem(sys.modules, "spandrel", module)
    return module


def _file(folder: Path, depth: int, *, whole: bool = False) -> Path:
    torch.manual_seed(depth)
    state = Row(depth).state_dict() | ({"net.whole": torch.ones(1)} if whole else {})
    path = folder / f"row{depth}{'-whole' if whole else ''}.safetensors"
    save_file(state, path)
    return path


@pytest.mark.parametrize(("depth", "margin"), [(2, 8), (8, 8), (12, 16)])
def test_what_is_seen_around_a_tile_is_what_the_network_looks_at(depth: int, margin: int) -> None:
    torch.manual_seed(0)
    row = Row(depth)
    for layer in row.net:
        nn.init.constant_(layer.weight, 1 / 9)  # type: ignore[arg-type]
    assert measured_margin(row, 1) == margin


def test_a_network_that_looks_at_the_whole_picture_has_no_margin() -> None:
    assert measured_margin(Row(1, whole=True), 1) is None


def test_margins_are_multiples_where_the_network_wants_them() -> None:
    assert measured_margin(Row(2), 16) == 16
    assert measured_margin(Row(2), 12) is None, "none that is tried fits"


def test_tiles_of_another_architecture_are_the_whole_to_a_code(tmp_path: Path, spandrel: Any) -> None:
    batch, path = random_batch(picture_format("yuv420p", 200, 150), count=1), _file(tmp_path, 3)
    whole, tiles = (rendered([with_file(f"upscale:tile={side}", model=path)], batch) for side in (512, 64))
    assert whole.format.width == 400
    for a, b in zip(whole.planes, tiles.planes, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1


def test_what_was_measured_stands_in_the_report(tmp_path: Path, spandrel: Any) -> None:
    rendered([with_file("upscale", model=_file(tmp_path, 3))], random_batch(picture_format(), 1))
    (words,) = residents.residents_on("cpu").steps_since_told()
    assert words.endswith("Row, by spandrel: tiles that see 8 pixels around them differ from the whole by less than "
                          "1/255 (measured)")  # fmt: skip


def test_what_must_not_be_cut_never_is(tmp_path: Path, spandrel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.upscale.task._WORKING_BYTES", {"cpu": 100_000, "cuda": 100_000})
    path, seen = _file(tmp_path, 3, whole=True), []
    forward = Row.forward
    monkeypatch.setattr(Row, "forward", lambda self, x: (seen.append(tuple(x.shape[2:])), forward(self, x))[1])
    rendered([with_file("upscale:factor=4", model=path)], random_batch(picture_format("yuv444p", 160, 120), 1))
    assert seen[-2:] == [(120, 160), (240, 320)], "both passes saw whole pictures"
    with pytest.raises(
        JobError, match="pixels of row3-whole .* depend on the whole picture, so it is never tiled; leave tile="
    ):
        rendered([with_file("upscale:tile=64", model=path)], random_batch(picture_format(), 1))
    assert not residents.residents_on("cpu").pool.sizes


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"scale": 1}, r"factor 1\); expected a network that enlarges RGB"),
        ({"scale": 4, "purpose": "Inpainting"}, "Inpainting"),
    ],
)
def test_a_network_that_does_not_enlarge_is_refused(
    wrong: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", _like_spandrel(lambda state: Described(Row(1), **wrong)))
    with pytest.raises(WeightsError, match=words):
        foreign_network({"net.0.weight": torch.zeros(1)}, "x.pth", _OURS)


def test_without_spandrel_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(WeightsError) as told:
        foreign_network({"net.0.weight": torch.zeros(1)}, "x.pth", _OURS)
    assert "expected those of RRDBNet; other architectures need spandrel, which is not installed: pip install" in str(
        told.value
    )


def test_a_torchvision_of_another_build_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "spandrel":
                raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(WeightsError, match="does not load: operator torchvision::nms .*torchvision of the same build"):
        foreign_network({"net.0.weight": torch.zeros(1)}, "x.pth", _OURS)


def test_what_spandrel_does_not_know_either_is_refused_with_both_reasons(spandrel: Any) -> None:
    with pytest.raises(WeightsError, match="expected those of RRDBNet; spandrel 0.0 does not know them either"):
        foreign_network({"other": torch.zeros(1)}, "x.pth", _OURS)


@pytest.fixture(scope="module")
def real() -> Any:
    try:
        import spandrel
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"spandrel does not load here: {error}")
    return spandrel


def _made_by(real: Any, name: str) -> nn.Module:
    import importlib

    torch.manual_seed(1)
    if name == "SPAN":
        module = importlib.import_module("spandrel.architectures.SPAN")
        return module.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2)  # type: ignore[no-any-return]
    module = importlib.import_module("spandrel.architectures.RCAN")
    return module.RCAN(scale=2, n_resgroups=1, n_resblocks=1, n_feats=16, reduction=4)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["SPAN", "RCAN"])
def test_real_architectures_of_spandrel_are_loaded_measured_and_tiled_alike(
    real: Any, name: str, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in _made_by(real, name).state_dict().items()}, path)
    network = foreign_network(
        {key: tensor.float() for key, tensor in _made_by(real, name).state_dict().items()}, path.name, _OURS
    )
    assert isinstance(network, ForeignNet) and (network.architecture, network.scale) == (name, 2)
    if not network.tileable:
        return
    batch = random_batch(picture_format("yuv420p", 230, 170), count=1)
    whole, tiles = (rendered([with_file(f"upscale:tile={side}", model=path)], batch) for side in (512, 100))
    for a, b in zip(whole.planes, tiles.planes, strict=True):
        assert np.abs(a.astype(int) - b.astype(int)).max() <= 1
