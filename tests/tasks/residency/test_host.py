"""What waits for a device: within host memory's budget as much as is soonest needed, the rest in files, whole."""

import errno
import itertools
import random
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.residency import host
from tasks.residency.host import HostBlocks
from tasks.residency.mover import TorchMover
from tasks.residency.policy import Holding, Resident, room_in_host
from tasks.residency.residents import Residents
from tests.tasks.residency.test_mover import network

_SIZES = {"a": 400, "b": 300, "c": 200, "d": 100}


def _block(name: str, size_bytes: int) -> torch.Tensor:
    return torch.full((size_bytes,), ord(name), dtype=torch.uint8)


def _blocks(budget_bytes: int, sizes: dict[str, int] = _SIZES) -> tuple[HostBlocks, dict[str, torch.Tensor]]:
    """Blocks of all names, and what each network would show."""
    shown: dict[str, torch.Tensor] = {}
    blocks = HostBlocks(budget_bytes, pinned=False, moved=shown.__setitem__)
    for name, size in sizes.items():
        shown[name] = _block(name, size)
        blocks.keep(name, shown[name])
    return blocks, shown


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["lend", "return", "foresee", "ask", "arrive"]), st.text("abcd", min_size=1, max_size=6)
        ),
        max_size=20,
    ),
    st.integers(0, 1100),
)
def test_memory_keeps_its_budget_and_every_block_its_bytes(script: list[tuple[str, str]], budget: int) -> None:
    blocks, shown = _blocks(budget)
    asked: list[tuple[str, torch.Tensor]] = []
    for word, names in script:
        if word == "foresee":
            blocks.foresee(names)
        elif word == "lend":
            assert torch.equal(blocks.lend(names[0]), _block(names[0], _SIZES[names[0]]))
        elif word == "ask":
            asked += [found] if (found := blocks.next_to_read()) else []
        elif word == "arrive":
            for name, mapped in asked:
                blocks.arrived(name, blocks.read(mapped))
            asked.clear()
        else:
            blocks.returned(names[0])
        assert sum(_SIZES[name] for name in blocks.in_memory) <= budget
        for name, size in _SIZES.items():
            assert torch.equal(blocks.block(name), _block(name, size))
            assert shown[name].data_ptr() == blocks.block(name).data_ptr(), "a network shows memory that is no more"
    assert blocks.writes <= len(_SIZES), "a block is written once"


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 50), min_size=2),
    st.text("abcdef", max_size=12),
    st.frozensets(st.sampled_from("abcdef"), max_size=2),
    st.integers(1, 150),
)
def test_whoever_leaves_memory_is_on_the_device_or_needed_no_sooner(
    sizes: dict[str, int], queue: str, lent: frozenset[str], budget: int
) -> None:
    *held, new = sizes
    holding = Holding(budget, tuple(Resident(name, sizes[name], use) for use, name in enumerate(held)))
    victims = room_in_host(new, sizes[new], holding, queue, lent)
    if victims is None:
        return
    future = [name for name in queue if name not in lent]
    position = {name: place for place, name in reversed(list(enumerate(future)))}
    assert all(position.get(victim, 99) >= min(position.get(new, 99), len(future)) for victim in victims)
    left = sum(sizes[name] for name in held if name not in victims) + sizes[new]
    assert left <= budget
    assert all(left + sizes[victim] > budget for victim in victims), "nobody leaves whose room is not needed"


def _fewest_reads(uses: Sequence[str], memory: frozenset[str], room: int) -> int:
    """Of all ways to keep `room` blocks of one size, a read one among them or not."""

    @cache
    def best(at: int, kept: frozenset[str]) -> int:
        if at == len(uses):
            return 0
        if uses[at] in kept:
            return best(at + 1, kept)
        options = [
            kept,
            *(frozenset(some) for some in itertools.combinations(kept | {uses[at]}, min(room, len(kept) + 1))),
        ]
        return 1 + min(best(at + 1, option) for option in options)

    return best(0, memory)


@settings(max_examples=60)
@given(st.text("abcde", min_size=1, max_size=10), st.integers(1, 4))
def test_with_a_known_queue_files_are_read_as_seldom_as_can_be(uses: str, room: int) -> None:
    """The device holds one network at a time, so each use brings it, unless it is there."""
    uses = "".join(name for name, _ in itertools.groupby(uses))
    blocks, _ = _blocks(room, dict.fromkeys("abcde", 1))
    fewest = _fewest_reads(uses, blocks.in_memory, room)
    for at, name in enumerate(uses):
        blocks.foresee(uses[at:])
        blocks.lend(name)
        blocks.foresee(uses[at + 1 :])
        blocks.returned(name)
    assert blocks.reads <= 1.3 * fewest


def test_what_lies_in_a_file_takes_no_memory_of_the_process() -> None:
    size = 64 << 20
    blocks, shown = _blocks(0, {"a": size})
    del shown["a"]
    before = _anonymous_bytes()
    assert int(blocks.block("a").sum(dtype=torch.int64)) == ord("a") * size
    assert _anonymous_bytes() - before < size // 8
    assert not blocks.in_memory


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def test_no_file_is_to_be_seen_and_none_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host.tempfile, "tempdir", str(tmp_path))
    blocks, _ = _blocks(0)
    assert blocks.writes == 4
    assert not list(tmp_path.iterdir()), "whatever ends the process, nothing is to be removed"


def test_a_full_disk_leaves_blocks_in_memory_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **more: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(host.tempfile, "TemporaryFile", full)
    told: list[str] = []
    blocks = HostBlocks(100, pinned=False, moved=lambda name, block: None, tell=told.append)
    blocks.keep("a", _block("a", 400))
    assert torch.equal(blocks.lend("a"), _block("a", 400))
    assert blocks.in_memory == {"a"}
    assert "a stays in host memory: no file in " in told[0] and "No space left on device" in told[0]


def _chain(budget: int, host_bytes: int) -> tuple[list[torch.Tensor], Residents]:
    residents = Residents("cpu", budget, host_bytes)
    made = {name: residents.add(name, lambda seed=seed: network(seed)) for seed, name in enumerate("abc")}  # type: ignore[misc]
    out = []
    for seed in range(4):
        x = torch.rand((2, 3, 16, 24), generator=torch.Generator().manual_seed(seed))
        residents.expect("lease", list(made), 4 - seed)
        for name, one in made.items():
            with torch.inference_mode():
                x = residents.render(name, (name,), lambda setting, one=one, x=x: one(x), batch_frames=1)  # type: ignore[misc]
        out.append(x)
    return out, residents


@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_chain_with_host_memory_for_so_many_networks_renders_the_same_bits(room: int) -> None:
    whole, roomy = _chain(1 << 30, 1 << 30)
    one = max(roomy.pool.sizes.values())
    tight, narrow = _chain(one, room * one)
    assert all(torch.equal(a, b) for a, b in zip(whole, tight, strict=True))
    told = [words for words in narrow.steps_since_told() if "waits in a file: host memory for networks is" in words]
    assert 3 - room <= len(told) <= 3
    assert not roomy.steps_since_told()


def test_what_comes_next_is_read_before_it_is_asked_for() -> None:
    mover = TorchMover("cpu", TorchMover("cpu").add("a", network(0)))
    for seed, name in enumerate("abc"):
        mover.add(name, network(seed))
    for now, after in zip("abcab", "bcabc", strict=True):
        mover.foresee([now, after, now])
        mover.bring(now)
        mover.foresee([after, now])
        assert mover._reader is not None
        mover._reader.join(10)
        assert mover.host.in_memory == {after}, "room was made by the one that lies on the device"
        mover.evict(now)


def test_what_was_read_too_late_is_dropped() -> None:
    blocks, shown = _blocks(400, {"a": 400, "b": 400})
    blocks.foresee("ab")
    found = blocks.next_to_read()
    assert found is not None and found[0] == "a"
    lent = blocks.lend("a")
    blocks.arrived("a", torch.zeros(400, dtype=torch.uint8))
    assert torch.equal(blocks.block("a"), lent) and torch.equal(shown["a"], _block("a", 400))


def test_a_forgotten_block_never_arrives() -> None:
    blocks, _ = _blocks(400, {"a": 400, "b": 400})
    blocks.foresee("a")
    assert blocks.next_to_read() is not None
    blocks.forget("a")
    blocks.arrived("a", _block("a", 400))
    assert "a" not in blocks.in_memory


def test_room_that_was_kept_for_a_read_goes_to_whoever_needs_it_sooner() -> None:
    blocks, _ = _blocks(400, {"a": 400, "b": 400, "c": 400})
    blocks.foresee("ab")
    assert blocks.next_to_read() is not None
    blocks.foresee("ba")
    assert torch.equal(blocks.lend("b"), _block("b", 400))
    blocks.arrived("a", _block("a", 400))
    assert sum(400 for _ in blocks.in_memory) <= 400
    assert torch.equal(blocks.block("a"), _block("a", 400))


def test_threads_that_take_turns_in_no_order_draw_what_each_would_alone() -> None:
    wanted = {name: network(seed) for seed, name in enumerate("abcde")}
    size = TorchMover("cpu").add("a", network(0))
    residents = Residents("cpu", int(2.1 * size), size)
    made = {name: residents.add(name, lambda seed=seed: network(seed)) for seed, name in enumerate("abcde")}  # type: ignore[misc]
    x, done = torch.rand(1, 3, 16, 24), []

    @torch.inference_mode()
    def work(seed: int) -> None:
        turn = random.Random(seed)
        for _ in range(60):
            name, after = turn.choice("abcde"), turn.choice("abcde")
            residents.expect(seed, [name, after], 3)
            drawn = residents.render(name, (name,), lambda setting, name=name: made[name](x), batch_frames=1)  # type: ignore[misc]
            assert torch.equal(drawn, wanted[name](x))
        done.append(seed)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == [0, 1, 2, 3]
