"""Weights move as one block and come out as they were; a chain with room for one model renders as with all."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tasks.residency.mover import TorchMover
from tasks.residency.pool import Pool


def network(seed: int, width: int = 5) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(3, width, 3, 1, 1), nn.BatchNorm2d(width), nn.PReLU(width), nn.Conv2d(width, 3, 3, 1, 1)]
    made = nn.Sequential(*layers).eval().requires_grad_(False)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def rendered(pool: Pool, networks: dict[str, nn.Module], device: str) -> list[torch.Tensor]:
    """Four batches through the chain of all networks."""
    out = []
    pool.expect(sorted(networks) * 4)
    for seed in range(4):
        x = torch.rand((2, 3, 16, 24), generator=torch.Generator().manual_seed(seed)).to(device)
        for name in sorted(networks):
            with torch.inference_mode(), pool.use(name):
                pool.prefetch()
                x = networks[name](x)
        out.append(x.cpu())
    return out


def chain_of_three(device: str, budget: Callable[[int], int]) -> tuple[list[torch.Tensor], Pool]:
    networks = {name: network(seed) for seed, name in enumerate("abc")}
    mover = TorchMover(device)
    sizes = {name: mover.add(name, made) for name, made in networks.items()}
    pool = Pool(mover, budget(max(sizes.values())))
    for name, size in sizes.items():
        pool.add(name, size)
    return rendered(pool, networks, device), pool


def check_room_for_one_renders_as_room_for_all(device: str) -> None:
    whole, roomy = chain_of_three(device, lambda size: 3 * size)
    tight, narrow = chain_of_three(device, lambda size: size)
    between, middle = chain_of_three(device, lambda size: 3 * size // 2)
    for one, two, three in zip(whole, tight, between, strict=True):
        assert torch.equal(one, two) and torch.equal(one, three)
    assert roomy.moves.evictions == 0
    assert narrow.moves.loads == 12 and middle.moves.loads <= 12, "models x batches"


def test_room_for_one_model_renders_as_room_for_all_bit_for_bit() -> None:
    check_room_for_one_renders_as_room_for_all("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_same_on_a_gpu() -> None:
    check_room_for_one_renders_as_room_for_all("cuda:0")


def test_a_network_is_unchanged_by_moving_and_lies_in_one_block() -> None:
    made, plain = network(3), network(3)
    mover = TorchMover("cpu")
    size = mover.add("x", made)
    assert size >= sum(t.numel() * t.element_size() for t in plain.state_dict().values())
    blocks = set()
    for _ in range(2):
        mover.bring("x")
        mover.settle("x")
        blocks.add(next(made.parameters()).untyped_storage().data_ptr())
        assert {t.untyped_storage().data_ptr() for t in made.parameters()} <= blocks
        for (key, moved), original in zip(made.state_dict().items(), plain.state_dict().values(), strict=True):
            assert torch.equal(moved, original), key
            assert moved.stride() == original.stride(), key
        mover.evict("x")
        for moved, original in zip(made.parameters(), plain.parameters(), strict=True):
            assert torch.equal(moved, original)
            assert moved.untyped_storage().data_ptr() not in blocks


def test_a_tensor_that_two_layers_share_moves_once() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    mover = TorchMover("cpu")
    assert mover.add("tied", nn.Sequential(first, second)) < 4 * 4 * 4 * 2 + 4 * 256
    mover.bring("tied")
    assert first.weight is second.weight
