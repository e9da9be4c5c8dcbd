"""Which cells a cluster gets, what is said where none fits, and how a node's object store is shared out."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.fleet import store
from cluster.fleet.nodes import Node, node_of
from cluster.fleet.plan import (
    Place,
    no_gpu,
    place_beside_cells,
    place_of_cell,
    plan_cells,
    shortage,
    side_nodes,
    side_worker_count,
    wants_gpu,
)
from cluster.fleet.store import SharedIndexes, StoreAccount
from cluster.messages import Shared

_LAPTOP = Node("aaaaaa1", "127.0.0.1", 2, 0, "", 10**9)
_CPU = Node("bbbbbb1", "10.0.0.1", 64, 0, "", 10**9)
_GPU = Node("cccccc1", "10.0.0.2", 16, 8, "h100", 10**10)
_HEAD = Node("dddddd1", "10.0.0.3", 0, 0, "", 10**9)


def test_a_laptop_is_one_cell_and_a_large_node_one_for_every_four_processors() -> None:
    (laptop,) = plan_cells(_LAPTOP, gpu=False)
    assert (laptop.bundle, laptop.kind) == ({"CPU": 2.0}, "cpu")
    assert [plan.bundle for plan in plan_cells(_CPU, gpu=False)] == [{"CPU": 4.0}] * 16
    assert plan_cells(replace(_LAPTOP, cpus=1), gpu=False)[0].bundle == {"CPU": 1.0}


@pytest.mark.parametrize(
    ("cpus", "gpus", "fused"),
    [(1, 0, True), (2, 0, True), (3, 0, False), (64, 0, False), (1, 1, True), (2, 1, False), (16, 8, False)],
)
def test_one_worker_does_all_where_no_processor_is_to_spare(cpus: float, gpus: int, fused: bool) -> None:
    """Beside a GPU two processors decode and encode while it draws; without one they draw as well."""
    plans = plan_cells(replace(_LAPTOP, cpus=cpus, gpus=gpus), gpu=gpus > 0)
    assert {plan.fused for plan in plans} == {fused}


@pytest.mark.parametrize(
    ("cpus", "gpus", "share"), [(16, 8, 2.0), (128, 8, 4.0), (9, 4, 2.0), (1, 1, 1.0), (4, 8, 0.5)]
)
def test_a_gpu_is_a_cell_with_its_share_of_the_nodes_processors(cpus: float, gpus: int, share: float) -> None:
    plans = plan_cells(replace(_GPU, cpus=cpus, gpus=gpus), gpu=True)
    assert [plan.bundle for plan in plans] == [{"CPU": share, "GPU": 1.0}] * gpus
    assert sum(plan.cpus for plan in plans) <= cpus
    assert {plan.kind for plan in plans} == {"h100"}


@pytest.mark.parametrize(("share", "cells"), [(0.5, 16), (0.4, 16), (0.34, 16), (1 / 3, 24), (0.1, 80), (1.0, 8)])
def test_as_many_cells_stand_on_a_gpu_as_have_their_share_of_it(share: float, cells: int) -> None:
    plans = plan_cells(_GPU, True, share)
    assert len(plans) == cells
    assert {plan.bundle["GPU"] for plan in plans} == {share}
    assert sum(plan.cpus for plan in plans) <= _GPU.cpus
    assert place_of_cell(True, share).bundle == {"CPU": 1.0, "GPU": share}
    assert plan_cells(_GPU, False, share) == plan_cells(_GPU, False)


def test_a_shortage_of_a_share_asks_for_no_more_than_the_share() -> None:
    words = shortage((_GPU,), {}, gpus=0.5, device="auto", waited_seconds=30).message
    assert "needed 0.5 GPU and 1 CPU free together" in words


def test_no_cell_stands_where_there_is_no_processor_no_gpu_for_it_or_the_node_leaves() -> None:
    assert plan_cells(_HEAD, gpu=False) == ()
    assert plan_cells(_CPU, gpu=True) == ()
    assert plan_cells(replace(_GPU, leaves_in_seconds=60.0), gpu=True) == ()


def test_gpus_are_left_to_others_where_nothing_draws_or_the_cpu_is_asked_for() -> None:
    assert wants_gpu((_CPU, _GPU), "auto", altering=True)
    assert not wants_gpu((_CPU, _GPU), "cpu", altering=True)
    assert not wants_gpu((_CPU, _GPU), "auto", altering=False)
    assert not wants_gpu((_CPU,), "auto", altering=True)
    assert wants_gpu((_CPU,), "cuda", altering=True)
    assert [plan.bundle for plan in plan_cells(_GPU, gpu=False)] == [{"CPU": 4.0}] * 4


def test_work_outside_cells_goes_to_marked_nodes_else_to_any_without_a_gpu_and_a_cell() -> None:
    marked = replace(_CPU, id="eeeeee1", pool="cpu")
    assert side_nodes((_CPU, _GPU, _HEAD, marked), [_GPU.id]) == (marked,)
    assert side_nodes((_CPU, _GPU, _HEAD), [_GPU.id]) == (_CPU,)
    assert side_nodes((_CPU, _LAPTOP), [_CPU.id, _LAPTOP.id]) == ()
    assert (side_worker_count(_CPU), side_worker_count(_LAPTOP)) == (4, 2)


def test_only_cells_that_compute_on_gpus_ask_an_autoscaler_for_gpu_nodes() -> None:
    assert place_of_cell(gpu=True) == Place({"CPU": 1.0, "GPU": 1.0}, {})
    assert place_of_cell(gpu=False) == Place({"CPU": 1.0}, {"reelyard.io/pool": "!gpu"})
    assert place_beside_cells() == Place({"CPU": 4.0}, {"reelyard.io/pool": "cpu"})


def test_a_node_is_read_from_rays_table_and_its_label_goes_before_its_resource() -> None:
    entry = {"NodeID": "f1", "NodeManagerAddress": "10.0.0.9", "Resources": {"CPU": 8.0, "GPU": 2.0}, "Labels": {}}
    assert node_of(entry, {}).gpu_kind == "gpu"
    entry["Resources"] = {"CPU": 8.0, "GPU": 2.0, "accelerator_type:L4": 1.0, "object_store_memory": 5e9}
    assert (node_of(entry, {}).gpu_kind, node_of(entry, {}).store_bytes) == ("l4", 5_000_000_000)
    entry["Labels"] = {"ray.io/accelerator-type": "A100-80G", "reelyard.io/pool": "cpu"}
    found = node_of(entry, {"f1": 30.0})
    assert (found.gpu_kind, found.pool, found.leaves_in_seconds) == ("a100-80g", "cpu", 30.0)


def test_a_shortage_names_what_was_needed_what_is_there_and_the_likeliest_remedy_first() -> None:
    busy = shortage((_GPU, _HEAD), {_GPU.id: {"CPU": 3.0}}, gpus=1.0, device="auto", waited_seconds=300)
    assert busy.message == (
        "no cell could be placed in 300 s: needed 1 GPU and 1 CPU free together on one node, "
        "found node 10.0.0.2/cccccc: 3 of 16 CPU, 0 of 8 GPU free; node 10.0.0.3/dddddd: 0 of 0 CPU, 0 of 0 GPU free; "
        "wait for the other jobs that hold them, or end them (`ray status` shows what is in use); "
        "or add a node with 1 GPU and 1 CPU; or use --device cpu"
    )
    bare = shortage((_HEAD,), {}, gpus=1.0, device="cuda", waited_seconds=30).message
    assert bare.startswith("--device cuda: no cell could be placed in 30 s")
    assert bare.index("let the autoscaler") < bare.index("use --device cpu")
    assert "wait for the other jobs" not in bare


def test_a_gpu_that_is_not_there_is_refused_with_the_remedy() -> None:
    assert "found no GPU in this Ray cluster" in no_gpu().message
    assert "--device cpu" in no_gpu().message


def test_bytes_of_a_store_are_given_out_in_order_and_never_twice() -> None:
    log: list[str] = []

    async def use(account: StoreAccount, name: str, count: int, rounds: int) -> None:
        async with account.reserved(count):
            log.append(f"{name} began")
            for _ in range(rounds):
                await asyncio.sleep(0)
            log.append(f"{name} ended")

    async def scenario() -> None:
        account = StoreAccount(1000)  # 600 of them may be filled.
        given_up = asyncio.create_task(use(account, "given up", 600, 1))
        tasks = [asyncio.create_task(use(account, *what)) for what in (("a", 400, 5), ("b", 300, 3), ("c", 100, 1))]
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(*tasks, given_up, return_exceptions=True)
        async with account.reserved(600):
            log.append("all free")

    asyncio.run(scenario())
    assert log == [
        "given up began", "a began", "a ended", "b began", "c began", "c ended", "b ended", "all free",
    ]  # fmt: skip


def test_an_index_is_shared_once_while_anyone_works_on_its_video(monkeypatch: pytest.MonkeyPatch) -> None:
    puts: list[object] = []
    monkeypatch.setattr(store.transport, "share", lambda value: puts.append(value) or Shared(len(puts)))
    indexes, first = SharedIndexes(spare_frames=1000), _index_of(600)
    assert indexes.take(first) == indexes.take(first)
    indexes.give(first)
    indexes.take(first)
    assert puts == [first]
    indexes.give(first)
    indexes.give(first)
    assert (indexes.used, len(indexes)) == (0, 1), "it stays for the next lease"
    indexes.take(first)
    indexes.give(first)
    assert puts == [first]


def test_indexes_that_nobody_needs_make_way_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    puts: list[Any] = []
    monkeypatch.setattr(store.transport, "share", lambda value: puts.append(value) or Shared(len(puts)))
    indexes, videos = SharedIndexes(spare_frames=1000), [_index_of(400, number) for number in range(4)]
    for index in videos:
        indexes.take(index)
    assert len(indexes) == 4, "all that are worked on"
    for index in videos:
        indexes.give(index)
    assert (indexes.used, len(indexes)) == (0, 2)
    for index in reversed(videos):
        indexes.take(index)
    assert [index.number for index in puts] == [0, 1, 2, 3, 1, 0]
    indexes.close()
    assert len(indexes) == 0


def _index_of(frames: int, number: int = 0) -> Any:
    return SimpleNamespace(frame_pts=range(frames), number=number)
