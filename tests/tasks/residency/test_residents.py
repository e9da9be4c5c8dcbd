"""Networks shared by all tasks of a process on one device: made once, given up with the last, want of memory told."""

import pytest
import torch
from torch import nn

from tasks.errors import OutOfVram
from tasks.residency.ladder import Setting
from tasks.residency.residents import Residents
from tasks.residency.shortage import told_as_out_of_vram


def test_a_network_is_made_once_for_all_who_add_it_and_goes_with_the_last() -> None:
    made: list[int] = []

    def make() -> nn.Module:
        made.append(1)
        return nn.Linear(4, 4)

    residents = Residents("cpu", 1 << 20)
    first, second = residents.add("a", make), residents.add("a", make)
    assert first is second and len(made) == 1
    residents.render("a", ("a",), lambda setting: None, batch_frames=1)
    residents.remove("a")
    assert residents.pool.holding.names == {"a"}
    residents.remove("a")
    assert residents.pool.holding.names == frozenset()
    assert residents.add("a", make) is not first


def test_the_last_user_gets_the_network_back_in_host_memory_whole() -> None:
    residents = Residents("cpu", 1 << 20)
    network = residents.add("a", lambda: nn.Linear(3, 2))
    weight = network.state_dict()["weight"].clone()
    residents.render("a", ("a",), lambda setting: None, batch_frames=1)
    residents.remove("a")
    assert torch.equal(network.state_dict()["weight"], weight)


def test_steps_are_told_once_in_words_that_are_equal_for_equal_moves() -> None:
    residents = Residents("cpu", 1 << 20)
    residents.add("a", lambda: nn.Linear(4, 4))
    tries: list[Setting] = []

    def work(setting: Setting) -> str:
        tries.append(setting)
        if setting.batch_frames > 2:
            raise OutOfVram(f"try {len(tries)}")
        return "done"

    assert residents.render("large of 4x4", ("a",), work, batch_frames=8) == "done"
    assert residents.steps_since_told() == (
        "large of 4x4: halve: batch 8 → 4",
        "large of 4x4: halve: batch 4 → 2",
    )
    assert residents.steps_since_told() == ()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nmore"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_want_of_memory_on_any_device_is_told_as_such(error: RuntimeError) -> None:
    told = pytest.raises(OutOfVram, match="a task on cuda:0: .*; render fewer at a time, free the device")
    with told, told_as_out_of_vram("a task on cuda:0"):
        raise error


def test_other_failures_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), told_as_out_of_vram("a task"):
        raise RuntimeError("shapes differ")
