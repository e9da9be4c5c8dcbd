"""Torch's allocator is told once, and nobody's own setting is lost."""

from pathlib import Path

import pytest

from cluster.doctor.machine import gpu_memory
from cluster.gpus.allocator import let_segments_grow, why_left


def test_segments_grow_where_nobody_said_anything() -> None:
    environment = {"HOME": "/root"}
    let_segments_grow(environment)
    assert environment == {"HOME": "/root", "PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@pytest.mark.parametrize(
    "setting",
    [
        {"PYTORCH_ALLOC_CONF": "backend:cudaMallocAsync"},
        {"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:512"},
        {"PYTORCH_HIP_ALLOC_CONF": ""},
        {"CUDA_MPS_PIPE_DIRECTORY": "/mps/pipe"},
        {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=40G"},
    ],
)
def test_what_was_set_stays_and_mps_is_left_alone(setting: dict[str, str]) -> None:
    environment = dict(setting)
    let_segments_grow(environment)
    assert environment == setting
    assert next(iter(setting)) in why_left(environment)


def test_the_doctor_tells_what_becomes_of_it() -> None:
    (asked,) = gpu_memory({})
    assert (asked.state, asked.found) == ("ok", "render workers set PYTORCH_ALLOC_CONF=expandable_segments:True")
    (own,) = gpu_memory({"PYTORCH_ALLOC_CONF": "expandable_segments:True,max_split_size_mb:64"})
    assert own.state == "ok"
    (other,) = gpu_memory({"PYTORCH_CUDA_ALLOC_CONF": "max_split_size_mb:64"})
    assert other.state == "note" and "expandable_segments:True" in other.remedy
    (mps,) = gpu_memory({"CUDA_MPS_PIPE_DIRECTORY": "/mps/pipe"})
    assert mps.state == "ok" and "MPS" in mps.found


def test_torch_still_calls_the_setting_so() -> None:
    """It ignores what it does not know, so names that were changed would only be missed on a GPU."""
    import torch

    library = (Path(torch.__file__).parent / "lib" / "libc10.so").read_bytes()
    environment: dict[str, str] = {}
    let_segments_grow(environment)
    ((name, value),) = environment.items()
    assert name.encode() in library
    assert value.partition(":")[0].encode() in library
