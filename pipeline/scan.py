"""A task's scan over a whole video: units measured anywhere, read back in order, concluded once.

Measurements lie in work storage as npz, keyed by content, so a crashed run, another voice or
another choice of face for the same video measures nothing again.  Pictures that a scan keeps lie
there with them: whoever leads the journey sees neither.
"""

import io
from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.index import SourceIndex
from pipeline.keys import scan_key
from pipeline.segments import ScanUnit
from pipeline.storage import Storage
from pipeline.work import Decoding, UnitWork
from tasks.task import Task, UnitMeasurement


def unit_works(
    prefix: str, index: SourceIndex, task: Task, units: Sequence[ScanUnit], decoding: Decoding
) -> tuple[UnitWork, ...]:
    """Each unit with the URI of its measurement under `prefix`; none for a task without a scan."""
    if not task.needs.scan:
        return ()
    digest = task.digest()
    return tuple(UnitWork(unit, f"{prefix}/{scan_key(index, task.spec, digest, unit, decoding)}.npz") for unit in units)


def not_measured(storage: Storage, prefix: str, works: Sequence[UnitWork]) -> list[UnitWork]:
    """Those that are not in storage yet; one listing."""
    present = set(storage.list(f"{prefix}/")) if works else set()
    return [work for work in works if work.uri not in present]


def store_measurement(storage: Storage, measured: UnitMeasurement, uri: str) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **measured.arrays)  # type: ignore[arg-type]
    storage.put_bytes(buffer.getvalue(), uri)


def stored_measurements(storage: Storage, works: Sequence[UnitWork]) -> Iterator[UnitMeasurement]:
    """The measurements, one at a time, in the order of the works."""
    for work in works:
        with np.load(io.BytesIO(storage.read(work.uri)), allow_pickle=False) as stored:
            yield UnitMeasurement(work.unit.start, work.unit.end, dict(stored))
