"""Files of weights: every usual container opens, nothing in them runs, and the first mismatch is named."""

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tasks.checkpoint import fill, load, read
from tasks.errors import WeightsError


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Linear(4, 2)


def state() -> dict[str, torch.Tensor]:
    return {key: torch.randn_like(value) for key, value in Tiny().state_dict().items()}


@pytest.mark.parametrize("key", ["", "state_dict", "params", "params_ema"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_usual_containers_open(tmp_path: Path, key: str, prefix: str) -> None:
    weights = state()
    inside = OrderedDict((prefix + name, value) for name, value in weights.items())
    torch.save({key: inside, "epoch": 3} if key else inside, path := tmp_path / "tiny.pth")
    for asked in {key, ""}:
        network = load(Tiny(), path, key=asked)
        assert not network.training
        assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_safetensors_open(tmp_path: Path) -> None:
    save_file(weights := state(), path := tmp_path / "tiny.safetensors")
    assert torch.equal(load(Tiny(), path).second.weight, weights["second.weight"])


def test_the_smoothed_weights_are_preferred(tmp_path: Path) -> None:
    torch.save({"params": state(), "params_ema": (better := state())}, path := tmp_path / "tiny.pth")
    assert torch.equal(read(path)["first.bias"], better["first.bias"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("second.weight"), "second.weight 2x4 is missing; choose the file of that network"),
        (lambda s: s.update({"first.bias": torch.zeros(5)}), "first.bias is 5, expected 4"),
        (
            lambda s: s.update({"third.bias": torch.zeros(1, 2)}),
            "found third.bias 1x2, which the network does not have",
        ),
    ],
)
def test_the_first_mismatch_is_named_and_nothing_is_changed(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    change(weights := state())
    network = Tiny()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(WeightsError, match=f"mine.pth: these are not weights of Tiny: {said}") as told:
        fill(network, weights, of="mine.pth")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert str(pickle.loads(pickle.dumps(told.value))) == str(told.value)


class Trap:
    """A pickle that writes a file when it is opened carelessly."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.mark, "w")


def test_a_file_that_would_run_something_is_not_opened(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    torch.save({"state_dict": state(), "trap": Trap(str(mark))}, path := tmp_path / "trap.pth")
    with pytest.raises(WeightsError, match="holds more than numbers.*convert it to .safetensors where you trust it"):
        read(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"epoch": 3, "loss": 0.1}, "found epoch, loss, expected weights by key alone"),
        ([1, 2], "found list, expected weights by key"),
        ({"generator": {"a": torch.zeros(1)}}, "found generator, expected weights by key alone"),
    ],
)
def test_a_file_without_weights_is_said(tmp_path: Path, content: object, said: str) -> None:
    torch.save(content, path := tmp_path / "none.pth")
    with pytest.raises(WeightsError, match=said):
        read(path)


def test_a_key_that_is_not_there_is_said(tmp_path: Path) -> None:
    torch.save({"params": state()}, path := tmp_path / "tiny.pth")
    with pytest.raises(WeightsError, match="found no 'state_dict' in it, but params; expected the weights there"):
        read(path, key="state_dict")


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors"])
def test_a_file_cut_off_is_said(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".pth"):
        torch.save(state(), path)
    else:
        save_file(state(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match=name):
        read(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such file of weights"):
        read(tmp_path / "none.pth")
