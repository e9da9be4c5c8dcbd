"""A cell of Ray workers renders what the engine in one process renders, whatever dies on the way."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import ray

from cluster import transport
from cluster.cell import Tally
from cluster.connection import Connection
from cluster.messages import Carried
from cluster.packages import own_code
from pipeline.engine import InProcessPool
from pipeline.index import SourceIndex
from pipeline.part import Part
from pipeline.steps import index_source
from pipeline.storage import Storage
from tasks.errors import JobError, SegmentError
from tasks.table import task_spec
from tasks.task import TaskSpec
from tests.cluster.conftest import FRAMES, GOP, CellPool, leases_over, numbers_of, write_numbered

_CUTS = (0, 30, 60, FRAMES)
_LABEL = task_spec("label", {"text": "a test"})
_LARGER = task_spec("upscale", {})
#: Takes three seconds of 600 frames, however quick the machine: time to lose a worker in.
_PACED = task_spec("rehearsal", {"milliseconds": "5"})

MakePool = Callable[..., CellPool]
PlanLeases = Callable[..., Sequence[Any]]


def _by_segment(parts: Sequence[Part]) -> dict[int, str]:
    return {part.segment: part.sha256 for part in parts}


def _in_process(index: SourceIndex, specs: Sequence[TaskSpec], leases: Sequence[Any], scratch: Path) -> list[Part]:
    pool = InProcessPool(Storage(), "cpu", scratch, lambda stage, frames: None)
    try:
        return list(pool.render(index, specs, leases))
    finally:
        pool.close()


def test_what_a_stage_counts_stays_beside_what_came_before_it() -> None:
    upstream = iter([Carried(None, {0: {"repeated": n}}, {}) for n in (1, 2)])  # type: ignore[arg-type]
    tally = Tally()
    batches = tally.unpacked(upstream)
    next(batches)
    tally.here.setdefault(0, {})["halve: batch 8 → 4"] = 1
    next(batches)
    assert tally.counts_of(0) == {"repeated": 2, "halve: batch 8 → 4": 1}
    assert tally.carry(None, "render").counts == {0: tally.counts_of(0)}  # type: ignore[arg-type]
    assert tally.counts_of(1) == {}


@pytest.mark.parametrize("specs", [(), (_LABEL,), (_LARGER, _LABEL)], ids=["identity", "label", "larger, label"])
def test_a_cell_and_one_process_give_the_same_bytes(
    specs: tuple[TaskSpec, ...],
    ray_pool: MakePool,
    plan_leases: PlanLeases,
    index: SourceIndex,
    tmp_path: Path,
) -> None:
    alone = _in_process(index, specs, plan_leases("alone", _CUTS, specs), tmp_path)
    pool = ray_pool()
    through_ray = list(pool.render(index, specs, plan_leases("ray", _CUTS, specs)))
    assert _by_segment(through_ray) == _by_segment(alone)
    assert [n for part in sorted(through_ray, key=lambda p: p.segment) for n in numbers_of(part.uri)] == list(
        range(FRAMES)
    )


def test_a_probe_through_ray_is_the_probe_here(ray_pool: MakePool, index: SourceIndex, source: Path) -> None:
    found = ray_pool().do(index_source, str(source))
    assert found.identity == index.identity
    assert found.frame_pts.tolist() == index.frame_pts.tolist()
    assert found.split_points.tolist() == list(range(0, FRAMES, GOP))


def test_what_is_asked_of_a_missing_source_fails_in_its_own_class(ray_pool: MakePool, tmp_path: Path) -> None:
    from tasks.errors import SourceError

    with pytest.raises(SourceError, match="nowhere"):
        ray_pool().do(index_source, str(tmp_path / "nowhere.mp4"))


def encoded_frames(worker: transport.Worker) -> int:
    return int(transport.control(worker, "frames"))


def encoded_by(pool: CellPool, name: str) -> int:
    return encoded_frames(next(worker for worker in pool.workers if worker.name == name))


@pytest.mark.parametrize(
    "stage",
    ["encode", pytest.param("decode", marks=pytest.mark.slow), pytest.param("render", marks=pytest.mark.slow)],
)
def test_a_worker_that_dies_costs_no_frame(
    stage: str, ray_pool: MakePool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labelling = ray_pool()
    from pipeline.probe import probe

    source = write_numbered(tmp_path / "long.mp4", frames=600)
    index = probe(Storage(), str(source), cache_prefix=None)
    specs, cuts = (_LABEL, _PACED), (0, 300, 600)
    whole = _in_process(index, specs, leases_over(index, tmp_path / "whole", cuts, specs, 2, "fail"), tmp_path)
    before = {worker.name: encoded_frames(worker) for worker in labelling.workers if worker.stage == "encode"}

    def kill_in_the_middle() -> None:
        while not (busy := [name for name, frames in before.items() if encoded_by(labelling, name) >= frames + 10]):
            time.sleep(0.05)
        number = busy[0].rpartition("-")[2]
        victim = next(worker for worker in labelling.workers if worker.name == f"{stage}-{number}")
        ray.kill(victim.handle, no_restart=False)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    parts = list(labelling.render(index, specs, leases_over(index, tmp_path / "killed", cuts, specs, 2, "fail")))
    killer.join()
    assert _by_segment(parts) == _by_segment(whole)
    # It died while it had work. What it had is begun again, or ran on the other cell already, as a straggler.
    assert "was lost" in caplog.text


def test_a_damaged_source_fails_once_and_stops_the_rest(
    ray_pool: MakePool, plan_leases: PlanLeases, index: SourceIndex, source: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    content = bytearray(source.read_bytes())
    third = len(content) // 3
    content[third : 2 * third] = bytes(third)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    damaged = replace(index, uri=str(broken), identity=Storage().identity(str(broken)))
    pool = ray_pool()
    with pytest.raises(SegmentError) as told:
        list(pool.render(damaged, (), plan_leases("broken", range(0, FRAMES + 1, 10))))
    assert (told.value.stage, told.value.kind) == ("decode", "SourceError")
    assert "segment" in told.value.message
    assert not any(decision.what == "retry" for decision in pool.decisions)


def test_closing_a_render_stops_the_workers(
    ray_pool: MakePool, connection: Connection, index: SourceIndex, plan_leases: PlanLeases
) -> None:
    pool = ray_pool()
    encoders = [worker for worker in pool.workers if worker.stage == "encode"]
    begun = sum(map(encoded_frames, encoders))
    rendering = pool.render(index, (), plan_leases("closed", range(0, FRAMES + 1, 5), batch_frames=1))
    next(rendering)
    rendering.close()  # type: ignore[attr-defined]
    time.sleep(1.0)
    ended = sum(map(encoded_frames, encoders))
    time.sleep(1.0)
    assert sum(map(encoded_frames, encoders)) == ended < begun + FRAMES


def test_progress_counts_every_frame(ray_pool: MakePool, plan_leases: PlanLeases, index: SourceIndex) -> None:
    went: list[int] = []
    pool = ray_pool(progress=lambda stage, frames: went.append(frames))
    list(pool.render(index, (), plan_leases("progress", _CUTS)))
    assert sum(went) == FRAMES


def test_a_worker_of_other_code_is_refused(connection: Connection) -> None:
    code = own_code()
    remote: Any = ray.remote
    from cluster.host import host_class

    actor = remote(concurrency_groups={"work": 1, "ctl": 1})(host_class("decode")).remote(
        code.root, "0" * 64, "cluster.cell:DecodeWorker", {"name": "decode-0", "storage_options": {}}
    )
    with pytest.raises(JobError, match="did not start.*not found on this node.*same reelyard as the driver"):
        transport.call(transport.Worker("decode", "decode-0", actor), "facts")
