"""Cells as their node is full, small, drained or gone; one processor, so that one worker is a cell."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from cluster.connection import Connection
from cluster.fleet import census, ray_fleet, standing
from cluster.fleet.nodes import NODE_ID_LABEL, alive_nodes
from cluster.fleet.ray_fleet import RayFleet
from cluster.fleet.values import CellDown, CellDrains, CellUp, Passed, RenderWork, Shortage
from cluster.packages import own_code
from pipeline.engine import InProcessPool
from pipeline.index import SourceIndex
from pipeline.storage import Storage
from tasks.errors import JobError, ResourceShortage
from tasks.table import task_spec
from tests.cluster.conftest import FRAMES, leases_over, numbers_of, write_numbered
from tests.cluster.listener import LONG_SECONDS, Listener, alive_actors, placement_groups
from tests.cluster.nodes import Nodes, more_nodes

_LABEL = task_spec("label", {"text": "a test"})
#: Takes three seconds of 300 frames, however quick the machine: time to lose a worker in.
_PACED = task_spec("rehearsal", {"milliseconds": "10"})
_CUTS = (0, 50, FRAMES)


@pytest.fixture(scope="module")
def nodes(connection: Connection) -> Iterator[Nodes]:
    with more_nodes() as made:
        yield made


@pytest.fixture(scope="module")
def small(nodes: Nodes) -> Any:
    """A node with one processor."""
    return nodes.add(cpus=1)


@pytest.fixture(scope="module")
def alone(connection: Connection, small: Any) -> Iterator[Connection]:
    """The small node alone, as if it were a cluster that was joined, and little patience for a place on it."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (census, ray_fleet):
            patch.setattr(module, "alive_nodes", lambda: tuple(node for node in alive_nodes() if node.cpus == 1))
        patch.setattr(census, "PLACEMENT_SECONDS", 1.0)
        patch.setattr(census, "_WATCH_SECONDS", 0.5)
        yield replace(connection, local=False)


@pytest.mark.parametrize("altering", [True, False])
def test_a_cell_that_runs_other_code_never_comes_up_and_the_run_is_told_what_differs(
    altering: bool, alone: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    import far_calls

    other = replace(own_code(), versions=(*own_code().versions, ("av", "0.0")))
    monkeypatch.setattr(standing, "own_code", lambda: other)
    fleet = RayFleet(alone, {}, device="cpu", altering=altering)
    try:
        told = fleet.told.get(timeout=LONG_SECONDS)
        assert isinstance(told, Shortage)
        assert "instead of 0.0; install on every node what the driver has" in told.message
        with pytest.raises(JobError, match="worker fused-0:.* runs av"):
            fleet.do(far_calls.where, "here", stopped=lambda: False)
        assert any(decision.choice.endswith("left out") for decision in fleet.decisions)
    finally:
        fleet.close()


@pytest.fixture(scope="module")
def taken(small: Any) -> Any:
    """The small node's only processor, held by somebody else."""
    group = ray.util.placement_group([{"CPU": 1}], bundle_label_selector=[{NODE_ID_LABEL: small.node_id}])
    assert group.wait(LONG_SECONDS)
    return group


@pytest.fixture(scope="module")
def fleet(alone: Connection, taken: Any) -> Iterator[RayFleet]:
    made = RayFleet(alone, {}, device="auto", altering=True)
    yield made
    made.close()


@pytest.fixture(scope="module")
def listener(fleet: RayFleet) -> Listener:
    return Listener(fleet)


def test_a_cluster_without_room_is_told_with_what_is_there_and_what_to_do(
    fleet: RayFleet, listener: Listener, small: Any
) -> None:
    import far_calls

    told = listener.until(lambda told: isinstance(told, Shortage))
    assert isinstance(told, Shortage)
    words = f"needed 1 CPU free together on one node, found node .*/{small.node_id[:6]}: 0 of 1 CPU free; wait for the"
    with pytest.raises(ResourceShortage, match=words):
        fleet.device_class  # noqa: B018
    with pytest.raises(ResourceShortage, match=words):
        fleet.do(far_calls.where, "here", stopped=lambda: False)


def test_a_cell_that_finds_room_later_comes_up_all_the_same(fleet: RayFleet, listener: Listener, taken: Any) -> None:
    import far_calls

    ray.util.remove_placement_group(taken)
    (name,) = listener.up(1)
    assert listener.cells[name].slots == 2
    assert fleet.device_class == "cpu-fp32"
    assert fleet.do(far_calls.where, "here", stopped=lambda: False)[1] == "fused-0"


def test_one_worker_renders_what_a_whole_cell_renders_and_moves_no_batch(
    fleet: RayFleet, listener: Listener, index: SourceIndex, tmp_path: Path
) -> None:
    (cell,) = listener.up(1)
    for specs in ((_LABEL,), ()):
        name = f"{len(specs)} tasks"
        leases = leases_over(index, tmp_path / name, _CUTS, specs, 4, "fail")
        attempts = [listener.start(cell, RenderWork(index, specs, lease)) for lease in leases]
        assert [listener.ended(attempt).error for attempt in attempts] == [None, None]
        parts = sorted(listener.parts(*attempts), key=lambda part: part.segment)
        alone = InProcessPool(Storage(), "cpu", tmp_path, lambda stage, frames: None)
        expected = alone.render(index, specs, leases_over(index, tmp_path / f"{name}, alone", _CUTS, specs, 4, "fail"))
        assert [part.sha256 for part in parts] == [p.sha256 for p in sorted(expected, key=lambda part: part.segment)]
        assert [number for part in parts for number in numbers_of(part.uri)] == list(range(FRAMES))
        assert [listener.frames(attempt) for attempt in attempts] == [50, 50]
    assert "object store" not in {decision.what for decision in fleet.decisions}
    assert "encode capacity" in {decision.what for decision in fleet.decisions}


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> SourceIndex:
    from pipeline.probe import probe

    path = write_numbered(tmp_path_factory.mktemp("long") / "long.mp4", frames=300)
    return probe(Storage(), str(path), cache_prefix=None)


def test_a_cell_that_loses_its_workers_three_times_in_a_row_is_started_anew(
    fleet: RayFleet, listener: Listener, long: SourceIndex, tmp_path: Path
) -> None:
    (cell,) = listener.up(1)
    (lease,) = leases_over(long, tmp_path, (0, 300), (_PACED,), 1, "fail")
    for _ in range(3):
        attempt = listener.start(cell, RenderWork(long, (_PACED,), lease))
        listener.until(lambda told, attempt=attempt: isinstance(told, Passed) and told.attempt == attempt)
        ray.kill(fleet._census.cells[cell].encode.handle, no_restart=False)
        error = listener.ended(attempt).error
        assert error is not None and error.kind == "WorkerLost"
    down = listener.until(lambda told: isinstance(told, CellDown))
    assert down == CellDown(cell, "its workers were lost 3 times in a row")
    up = listener.until(lambda told: isinstance(told, CellUp))
    assert isinstance(up, CellUp) and up.cell.name != cell
    again = listener.start(up.cell.name, RenderWork(long, (_PACED,), lease))
    assert listener.ended(again).error is None
    assert any("started anew" in decision.choice for decision in fleet.decisions)


def test_a_store_that_cannot_hold_a_lease_refuses_it_with_the_sum(
    listener: Listener, index: SourceIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = listener.up(1)
    cell = listener.fleet._census.cells[name]
    monkeypatch.setattr(type(cell), "hops", 2)
    lease = leases_over(index, tmp_path, (0, FRAMES), (_LABEL,), 2000, "fail")[0]
    error = listener.ended(listener.start(name, RenderWork(index, (_LABEL,), lease))).error
    assert error is not None and error.kind == "ResourceShortage"
    assert "Ray's object store is too small for this video: 1 leases x 2 hops" in error.message


def test_work_for_more_cells_is_shown_to_the_autoscaler_until_there_is_less(
    fleet: RayFleet, listener: Listener
) -> None:
    listener.up(1)
    held = len(placement_groups())
    for wanted, more in ((4, 3), (1, 0)):
        fleet.want(wanted)
        deadline = time.monotonic() + LONG_SECONDS
        while len(placement_groups()) != held + more and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(placement_groups()) == held + more


def test_a_node_that_is_drained_says_how_long_it_has_and_its_cell_goes_with_it(
    listener: Listener, nodes: Nodes, small: Any
) -> None:
    from ray._raylet import GcsClient

    (cell,) = listener.up(1)
    client = GcsClient(address=ray.get_runtime_context().gcs_address)
    deadline_ms = int((time.time() + 60) * 1000)
    accepted, _ = client.drain_node(small.node_id, 2, "a test", deadline_ms)
    assert accepted
    drains = listener.until(lambda told: isinstance(told, CellDrains))
    assert isinstance(drains, CellDrains) and drains.cell == cell and 30 < drains.deadline_seconds <= 60
    nodes.remove(small)
    down = listener.until(lambda told: isinstance(told, CellDown))
    assert isinstance(down, CellDown) and "is gone" in down.reason


def test_nothing_is_left_after_all_of_this(fleet: RayFleet) -> None:
    fleet.close()
    deadline = time.monotonic() + LONG_SECONDS
    while (alive_actors() or placement_groups()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert (alive_actors(), placement_groups()) == ([], [])
