"""A task's scan over a whole video: units measured anywhere, read back in order, concluded once.

Measurements lie in work storage as npz, keyed by content, so a crashed run, another voice or
another choice of face for the same video measures nothing again.
"""

import io
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.index import SourceIndex
from pipeline.keys import scan_key
from pipeline.pool import Pool
from pipeline.segments import ScanUnit
from pipeline.storage import Storage
from pipeline.work import Decoding
from tasks.task import OutputFrames, Task, TaskPlan, TaskSpec, UnitMeasurement, Voice


def scan_task(
    storage: Storage,
    pool: Pool,
    index: SourceIndex,
    task: Task,
    units: Sequence[ScanUnit],
    output: OutputFrames,
    voice: Voice | None,
    prefix: str,
    decoding: Decoding,
) -> TaskPlan:
    """The plan of one task for the whole output; measures only units that are not yet in storage."""
    if not task.needs.scan:
        return task.conclude((), output, voice)
    uris = {unit.start: _unit_uri(prefix, index, task, unit, decoding) for unit in units}
    present = set(storage.list(f"{prefix}/"))
    missing = [unit for unit in units if uris[unit.start] not in present]
    if missing:
        for measured in pool.measure(index, task.spec, missing, decoding):
            storage.put_bytes(_to_npz(measured), uris[measured.start])
    return task.conclude(_stored(storage, units, uris), output, voice)


def _unit_uri(prefix: str, index: SourceIndex, task: Task, unit: ScanUnit, decoding: Decoding) -> str:
    spec: TaskSpec = task.spec
    return f"{prefix}/{scan_key(index, spec, task.digest(), unit, decoding)}.npz"


def _stored(storage: Storage, units: Sequence[ScanUnit], uris: dict[int, str]) -> Iterator[UnitMeasurement]:
    for unit in units:
        with np.load(io.BytesIO(storage.read(uris[unit.start])), allow_pickle=False) as stored:
            yield UnitMeasurement(unit.start, unit.end, dict(stored))


def _to_npz(measured: UnitMeasurement) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **measured.arrays)  # type: ignore[arg-type]
    return buffer.getvalue()
