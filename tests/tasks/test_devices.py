"""The choice of device says why, and what to do where the wish cannot be met."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tasks.devices import choose_device, cuda_fault
from tasks.errors import JobError, ResourceShortage


def torch_with(
    *, built: str | None = "13.0", devices: int = 0, start: str = "", total: float = 2.0, compute: str = ""
) -> Any:
    """As much of torch as the question needs, on a machine that is described."""

    def init() -> None:
        if start:
            raise RuntimeError(start)

    def ones(count: int, device: str) -> Any:
        if compute:
            raise RuntimeError(compute)
        return SimpleNamespace(sum=lambda: total)

    return SimpleNamespace(
        __version__="2.13.0",
        version=SimpleNamespace(cuda=built),
        cuda=SimpleNamespace(device_count=lambda: devices, is_available=lambda: devices > 0 and not start, init=init),
        ones=ones,
    )


@pytest.mark.parametrize(
    ("machine", "number", "words"),
    [
        (torch_with(built=None), 0, "build without CUDA (install the CUDA build"),
        (
            torch_with(start="The NVIDIA driver on your system is too old (found version 11040)."),
            0,
            "update the driver",
        ),
        (torch_with(start="Found no NVIDIA driver on your system.\nMore"), 0, "no NVIDIA driver was found"),
        (torch_with(start="CUDA unknown error"), 0, "CUDA 13.0 does not start: CUDA unknown error"),
        (torch_with(), 0, "CUDA_VISIBLE_DEVICES"),
        (torch_with(devices=2), 2, "there are 2 GPUs, numbered from 0, and number 2"),
        (
            torch_with(devices=1, compute="no kernel image is available"),
            0,
            "built for CUDA 13.0: no kernel image",
        ),
        (torch_with(devices=1, total=0.0), 0, "computes 1 + 1 = 0.0"),
        (torch_with(devices=1), 0, ""),
    ],
)
def test_each_fault_of_a_gpu_has_its_own_words(machine: Any, number: int, words: str) -> None:
    found = cuda_fault(machine, number)
    assert words in found
    assert bool(found) == bool(words)


def test_the_cpu_is_taken_at_its_word() -> None:
    assert choose_device("cpu").device == "cpu"


def test_auto_always_finds_a_device_and_says_why() -> None:
    choice = choose_device("auto")
    assert choice.device == ("cuda:0" if torch.cuda.is_available() else "cpu")
    assert choice.reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused_with_the_remedy() -> None:
    with pytest.raises(ResourceShortage, match=r"--device cuda was asked for.*use --device auto or cpu"):
        choose_device("cuda")


@pytest.mark.parametrize("wish", ["gpu", "cuda:", "cuda:x", ""])
def test_an_unknown_wish_is_refused(wish: str) -> None:
    with pytest.raises(JobError, match="expected one of auto, cpu, cuda"):
        choose_device(wish)
