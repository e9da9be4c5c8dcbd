"""The fleet on a Ray of several nodes: what is started always ends, whatever dies, and nothing is left."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from cluster import transport
from cluster.connection import Connection
from cluster.fleet import progress
from cluster.fleet.ray_fleet import RayFleet
from cluster.fleet.values import (
    CellDown,
    CellUp,
    Passed,
    RenderWork,
    ScanWork,
    Yielded,
)
from cluster.packages import own_code
from pipeline.engine import InProcessPool
from pipeline.index import SourceIndex
from pipeline.part import sidecar_uri
from pipeline.segments import ScanUnit
from pipeline.stages import Stopped
from pipeline.storage import Storage
from pipeline.work import Decoding, Lease, UnitWork
from tasks.errors import SourceError
from tasks.table import task_spec
from tasks.task import TaskSpec
from tests.cluster.conftest import FRAMES, leases_over, numbers_of, write_numbered
from tests.cluster.listener import LONG_SECONDS, Listener, alive_actors, placement_groups
from tests.cluster.nodes import Nodes, more_nodes

_LABEL = task_spec("label", {"text": "a test"})
#: Takes three seconds of 300 frames, however quick the machine: time to lose a worker in.
_PACED = task_spec("rehearsal", {"milliseconds": "10"})
_MOUTHS = task_spec("lip-sync", {})
_CUTS = (0, 30, 60, FRAMES)


def _cell_of(fleet: RayFleet, name: str) -> Any:
    return fleet._census.cells[name]


@pytest.fixture(scope="module")
def nodes(connection: Connection) -> Iterator[Nodes]:
    with more_nodes() as made:
        yield made


@pytest.fixture(scope="module")
def two(nodes: Nodes) -> tuple[Any, Any]:
    """Two nodes with a GPU each, of two kinds."""
    return nodes.add(gpus=1, kind="L4"), nodes.add(gpus=1, labels={"ray.io/accelerator-type": "H100"})


@pytest.fixture(scope="module")
def fleet(connection: Connection, two: tuple[Any, Any]) -> Iterator[RayFleet]:
    made = RayFleet(connection, {}, device="auto", altering=True, idle_seconds=60.0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def listener(fleet: RayFleet) -> Listener:
    return Listener(fleet)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> SourceIndex:
    """A source that takes a while where it is paced: 300 frames."""
    from pipeline.probe import probe

    path = write_numbered(tmp_path_factory.mktemp("long") / "long.mp4", frames=300)
    return probe(Storage(), str(path), cache_prefix=None)


def test_every_gpu_becomes_a_cell_of_its_kind_and_one_device_is_found_for_all(
    fleet: RayFleet, listener: Listener
) -> None:
    cells = [listener.cells[name] for name in listener.up(2)]
    assert sorted((cell.kind, cell.slots) for cell in cells) == [("h100", 2), ("l4", 2)]
    assert len({cell.node for cell in cells}) == 2
    assert fleet.device_class == "cpu-fp32"
    said = [decision for decision in fleet.decisions if decision.what == "device"]
    assert len(said) == 1
    assert "without CUDA" in said[0].reason


def test_calls_outside_cells_keep_off_the_gpus_nodes(fleet: RayFleet, listener: Listener) -> None:
    import far_calls

    listener.up(2)
    deadline = time.monotonic() + LONG_SECONDS
    while True:
        (word, empty, scratch, _), worker = fleet.do(far_calls.where, "here", stopped=lambda: False)
        if worker.startswith("side-") or time.monotonic() > deadline:
            break
    assert (word, empty, worker.startswith("side-")) == ("here", True, True)
    assert not os.path.exists(scratch)


def test_many_calls_at_once_run_side_by_side_and_all_answer(fleet: RayFleet) -> None:
    import far_calls

    with ThreadPoolExecutor(12) as threads:
        calls = [threads.submit(fleet.do, far_calls.linger, 0.3, stopped=lambda: False) for _ in range(12)]
        times = [call.result()[0] for call in calls]
    assert any(a[0] < b[0] < a[1] for a in times for b in times), "no two calls overlapped"


def test_a_call_whose_worker_is_lost_or_whose_storage_fails_is_made_again(fleet: RayFleet, tmp_path: Path) -> None:
    import far_calls

    assert fleet.do(far_calls.fail_storage_once, str(tmp_path / "stored"), stopped=lambda: False)[0] == "stored"
    assert fleet.do(far_calls.die_once, str(tmp_path / "died"), stopped=lambda: False)[0] != os.getpid()


def test_a_call_that_is_refused_fails_in_its_own_class_at_once(fleet: RayFleet) -> None:
    import far_calls

    with pytest.raises(SourceError, match="a source that is none"):
        fleet.do(far_calls.refuse, stopped=lambda: False)


def test_a_caller_that_is_stopped_does_not_wait_for_the_answer(fleet: RayFleet) -> None:
    import far_calls

    began = time.monotonic()
    with pytest.raises(Stopped):
        fleet.do(far_calls.linger, 20.0, stopped=lambda: time.monotonic() - began > 0.5)
    assert time.monotonic() - began < 15.0


def test_attempts_on_all_cells_give_the_frames_and_bytes_of_one_process(
    listener: Listener, index: SourceIndex, tmp_path: Path
) -> None:
    first, second = listener.up(2)
    leases = leases_over(index, tmp_path / "fleet", _CUTS, (_LABEL,), 4, "fail")
    works = [RenderWork(index, (_LABEL,), lease) for lease in leases]
    attempts = [listener.start(cell, work) for cell, work in zip((first, second, first), works, strict=True)]
    assert [listener.ended(attempt).error for attempt in attempts] == [None] * 3
    parts = sorted(listener.parts(*attempts), key=lambda part: part.segment)
    alone = InProcessPool(Storage(), "cpu", tmp_path, lambda stage, frames: None)
    expected = alone.render(index, (_LABEL,), leases_over(index, tmp_path / "alone", _CUTS, (_LABEL,), 4, "fail"))
    assert [part.sha256 for part in parts] == [p.sha256 for p in sorted(expected, key=lambda part: part.segment)]
    assert [number for part in parts for number in numbers_of(part.uri)] == list(range(FRAMES))
    assert [listener.frames(attempt) for attempt in attempts] == [30, 30, 40]
    assert listener.fleet._indexes.used == 0


def test_a_scan_is_measured_by_units_and_counts_their_frames(
    listener: Listener, index: SourceIndex, tmp_path: Path
) -> None:
    cell = listener.up(2)[0]
    units = (ScanUnit(0, 0, 40), ScanUnit(1, 40, FRAMES))
    works = tuple(UnitWork(unit, str(tmp_path / f"{unit.number}.npz")) for unit in units)
    attempt = listener.start(cell, ScanWork(index, _MOUTHS, works, Decoding()))
    assert listener.ended(attempt).error is None
    assert listener.frames(attempt) == FRAMES
    told_of = [told for told in listener.heard if isinstance(told, Yielded) and told.attempt == attempt]
    yielded = [unit for told in told_of for unit in told.results]
    assert sorted(unit.number for unit in yielded) == [0, 1]
    assert all(Path(work.uri).exists() for work in works)


@pytest.mark.parametrize("stage", ["decode", "render", "encode"])
def test_a_worker_that_dies_ends_its_attempt_as_lost_and_its_cell_goes_on(
    stage: str, listener: Listener, long: SourceIndex, tmp_path: Path
) -> None:
    cell = listener.up(2)[0]
    (lease,) = leases_over(long, tmp_path / "killed", (0, 300), (_PACED,), 1, "fail")
    attempt = listener.start(cell, RenderWork(long, (_PACED,), lease))
    listener.until(lambda told: isinstance(told, Passed) and told.attempt == attempt)
    victim = next(worker for worker in _cell_of(listener.fleet, cell).workers if worker.stage == stage)
    ray.kill(victim.handle, no_restart=False)
    error = listener.ended(attempt).error
    assert error is not None and error.kind == "WorkerLost"
    assert "segment 0 (output frames 0-300)" in error.message
    again = listener.start(cell, RenderWork(long, (_PACED,), lease))
    assert listener.ended(again).error is None
    assert numbers_of(listener.parts(again)[0].uri) == list(range(300))
    assert cell in listener.cells


def _whole(index: SourceIndex, folder: Path, cuts: tuple[int, ...], spec: TaskSpec) -> Lease:
    """All segments as one lease."""
    leases = leases_over(index, folder, cuts, (spec,), 1, "fail")
    return replace(leases[0], works=tuple(work for lease in leases for work in lease.works))


def test_what_a_lost_worker_had_committed_is_found_though_nobody_had_asked(
    listener: Listener, long: SourceIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("_FIRST_SECONDS", "_ASK_SECONDS", "_MOST_SECONDS"):
        monkeypatch.setattr(progress, pause, LONG_SECONDS)
    cell = listener.up(2)[0]
    lease = _whole(long, tmp_path / "found", (0, 30, 300), _PACED)
    sidecar = Path(sidecar_uri(lease.works[0].part_uri))
    attempt = listener.start(cell, RenderWork(long, (_PACED,), lease))
    deadline = time.monotonic() + LONG_SECONDS
    while not sidecar.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert listener.parts(attempt) == []
    ray.kill(_cell_of(listener.fleet, cell).encode.handle, no_restart=False)
    error = listener.ended(attempt).error
    assert error is not None and error.kind == "WorkerLost"
    assert "segment 1 (output frames 30-300)" in error.message
    assert [part.segment for part in listener.parts(attempt)] == [0]


def test_an_attempt_that_fails_tells_what_it_did_before_and_where_it_failed(
    listener: Listener, index: SourceIndex, tmp_path: Path
) -> None:
    cell = listener.up(2)[0]
    failing = task_spec("rehearsal", {"milliseconds": "1", "fail_at": "70"})
    lease = _whole(index, tmp_path / "failing", _CUTS, failing)
    attempt = listener.start(cell, RenderWork(index, (failing,), lease))
    error = listener.ended(attempt).error
    assert error is not None and (error.kind, error.stage) == ("bug", "render")
    assert f"segment 2 (output frames 60-{FRAMES})" in error.message
    assert [part.segment for part in listener.parts(attempt)] == [0, 1]


def test_a_cancelled_attempt_ends_soon_as_stopped_and_its_workers_with_it(
    listener: Listener, long: SourceIndex, tmp_path: Path
) -> None:
    cell = listener.up(2)[0]
    (lease,) = leases_over(long, tmp_path / "cancelled", (0, 300), (_PACED,), 1, "fail")
    attempt = listener.start(cell, RenderWork(long, (_PACED,), lease))
    listener.until(lambda told: isinstance(told, Passed) and told.attempt == attempt)
    listener.fleet.cancel(attempt)
    error = listener.ended(attempt).error
    assert error is not None and error.kind == "Stopped"
    assert listener.parts(attempt) == []
    encode = _cell_of(listener.fleet, cell).encode
    deadline = time.monotonic() + LONG_SECONDS
    while transport.control(encode, "so_far", {}) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert transport.control(encode, "so_far", {}) == {}


def test_a_worker_that_hangs_is_ended_and_its_attempt_is_lost(
    listener: Listener, long: SourceIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SILENT_SECONDS", 3.0)
    cell = listener.up(2)[0]
    (lease,) = leases_over(long, tmp_path / "hung", (0, 300), (_PACED,), 1, "fail")
    attempt = listener.start(cell, RenderWork(long, (_PACED,), lease))
    listener.until(lambda told: isinstance(told, Passed) and told.attempt == attempt)
    encode = _cell_of(listener.fleet, cell).encode
    process = int(transport.control(encode, "facts").name.rpartition(":")[2])
    os.kill(process, signal.SIGSTOP)
    error = listener.ended(attempt).error
    assert error is not None and error.kind == "WorkerLost"
    assert "gave no sign for 3 s" in error.message
    again = listener.start(cell, RenderWork(long, (_PACED,), lease))
    assert listener.ended(again).error is None


def test_workers_run_the_drivers_code_and_tell_what_they_used(fleet: RayFleet, listener: Listener) -> None:
    listener.up(2)
    facts = fleet.facts()
    assert {found.code.digest for found in facts} == {own_code().digest}
    assert {found.name.partition("-")[0] for found in facts} >= {"decode", "render", "encode"}


def test_a_node_that_is_gone_takes_its_cell_and_one_that_comes_brings_another(
    listener: Listener, nodes: Nodes, two: tuple[Any, Any], long: SourceIndex, tmp_path: Path
) -> None:
    cell = next(name for name in listener.up(2) if listener.cells[name].kind == "h100")
    (lease,) = leases_over(long, tmp_path / "node", (0, 300), (_PACED,), 1, "fail")
    attempt = listener.start(cell, RenderWork(long, (_PACED,), lease))
    listener.until(lambda told: isinstance(told, Passed) and told.attempt == attempt)
    nodes.remove(two[1])
    down = listener.until(lambda told: isinstance(told, CellDown))
    assert isinstance(down, CellDown) and down.cell == cell and "is gone" in down.reason
    nodes.add(gpus=1, kind="A100")
    up = listener.until(lambda told: isinstance(told, CellUp))
    assert isinstance(up, CellUp) and up.cell.kind == "a100"
    again = listener.start(up.cell.name, RenderWork(long, (_PACED,), lease))
    assert listener.ended(again).error is None


def test_nothing_is_left_of_a_fleet_that_is_closed(fleet: RayFleet) -> None:
    assert alive_actors() and placement_groups()
    fleet.close()
    fleet.close()
    deadline = time.monotonic() + 30
    while (alive_actors() or placement_groups()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert (alive_actors(), placement_groups()) == ([], [])
