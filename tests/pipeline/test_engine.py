"""Units of a one-pass source are measured in one pass, whichever of them are asked for."""

import time

import numpy as np
import pytest

from pipeline.engine import InProcessPool
from pipeline.job import RenderJob
from pipeline.probe import probe
from pipeline.render import render_in_process
from pipeline.scan import stored_measurements
from pipeline.segments import ScanUnit
from pipeline.storage import Storage
from pipeline.work import Decoding, UnitWork
from tasks.task import TaskSpec, UnitMeasurement
from tests.sources import Sources, number_in


class NumberReader:
    """A stand-in task: reads the frame numbers that the sources carry in their pixels."""

    def load(self, device: str) -> None: ...

    def measure(self, start, batches) -> UnitMeasurement:
        seen = [number_in(luma) for batch in batches for luma in batch.planes[0]]
        return UnitMeasurement(start, start + len(seen), {"numbers": np.array(seen)})

    def release(self) -> None: ...


@pytest.mark.parametrize("kind", ["intra-refresh mp4", "open mp4"])
@pytest.mark.parametrize(
    "asked", [[(0, 40), (40, 75), (75, 120)], [(0, 40), (75, 120)], [(40, 75)], [(30, 31), (90, 120)]]
)
def test_every_unit_asked_for_is_measured_on_its_own_frames(kind, asked, sources: Sources, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.engine.open_to_measure", lambda storage, spec: NumberReader())
    storage = Storage({})
    index = probe(storage, str(sources.path(kind)))
    pool = InProcessPool(storage, "cpu", tmp_path, lambda stage, frames: None)
    works = [UnitWork(ScanUnit(i, a, b), f"{tmp_path}/{i}.npz") for i, (a, b) in enumerate(asked)]
    done = list(pool.measure(index, TaskSpec("numbers"), works, Decoding()))
    assert sorted(unit.number for unit in done) == list(range(len(asked)))
    found = {m.start: m for m in stored_measurements(storage, works)}
    assert {start: found[start].arrays["numbers"].tolist() for start in found} == {
        a: list(range(a, b)) for a, b in asked
    }


@pytest.mark.parametrize("kind", ["intra-refresh mp4", "open mp4"])
def test_parts_tell_what_each_stage_took(kind, sources: Sources, tmp_path):
    began = time.process_time()
    job = RenderJob(str(sources.path(kind)), str(tmp_path / "out.mp4"), segment_seconds=2, bake_rotation=True)
    report = render_in_process(job)
    used = time.process_time() - began
    assert len(report.parts) > 1
    for part in report.parts:
        assert set(part.seconds) == {"decode", "render", "encode", "wall"}
        assert part.seconds["encode"] > 0 and part.seconds["wall"] > 0
    stages = {name: sum(p.seconds[name] for p in report.parts) for name in ("decode", "render", "encode")}
    assert stages["decode"] > 0 and sum(stages.values()) < used
