"""Decode, render and encode as threads of one process; the reference of what a cell does.

A lease flows through its stages joined by queues of one batch, so that memory is bounded and libav
and torch, which release the interpreter, keep several cores busy.  Two leases are in flight: the
drain of one is filled by the next.
"""

import bisect
import itertools
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.built import BuiltFiles
from pipeline.decode import Counts, decode_lease, decode_source_frames
from pipeline.encode import encode_lease
from pipeline.index import SourceIndex
from pipeline.part import Part, PartDetails
from pipeline.pool import Decision, Progress, Step
from pipeline.scan import store_measurement
from pipeline.scratch import held
from pipeline.segments import ScanUnit
from pipeline.stages import StageSeconds, Stopped, in_thread, render_batches, split_at, staged
from pipeline.storage import Storage
from pipeline.weights import open_here, open_to_measure
from pipeline.work import Decoding, Lease, SegmentWork, UnitWork
from tasks.picture import FrameBatch, frames_per_batch
from tasks.runtime.choice import Machine
from tasks.task import TaskSpec, UnitMeasurement

if TYPE_CHECKING:
    from tasks.chain import Chain

T = TypeVar("T")
R = TypeVar("R")

#: Leases, and scan units, that one process works on at the same time.
LEASES_IN_FLIGHT = 2
_HERE = "in-process"


class InProcessPool:
    """The pool of `--in-process`: threads of this process, one chain of tasks behind one lock."""

    def __init__(self, storage: Storage, device: str, scratch: Path, progress: Progress) -> None:
        self.decisions: tuple[Decision, ...] = ()
        self._storage = storage
        self._device = device
        self._scratch = scratch
        self._progress = progress
        self._stop = threading.Event()
        self._device_lock = threading.Lock()

    @property
    def device_class(self) -> str:
        return f"{self._device.split(':')[0]}-fp32"

    @property
    def machine(self) -> Machine:
        from tasks.runtime.machine import machine_of

        return machine_of(self._device)

    def do(self, step: Step, *arguments: object) -> Any:
        with held(self._scratch), tempfile.TemporaryDirectory(prefix="step-", dir=self._scratch) as folder:
            return step(self._storage, Path(folder), *arguments)

    def measure(
        self, index: SourceIndex, spec: TaskSpec, works: Sequence[UnitWork], decoding: Decoding
    ) -> Iterator[ScanUnit]:
        """Units of a random source side by side, those of a linear one in a single pass."""
        units, uris = [work.unit for work in works], {work.unit.start: work.uri for work in works}
        for measured in self._measured(index, spec, units, decoding):
            store_measurement(self._storage, measured, uris[measured.start])
            yield next(unit for unit in units if unit.start == measured.start)

    def _measured(
        self, index: SourceIndex, spec: TaskSpec, units: Sequence[ScanUnit], decoding: Decoding
    ) -> Iterator[UnitMeasurement]:
        count = frames_per_batch(index.format.frame_bytes)

        def decoded(start: int, end: int) -> Iterator[FrameBatch]:
            frames = decode_source_frames(
                self._storage, index, start, end, count, damaged=decoding.damaged, deinterlace=decoding.deinterlace
            )
            return in_thread(frames, "decode", self._stop)

        def measure(unit: ScanUnit, batches: Iterator[FrameBatch]) -> UnitMeasurement:
            from tasks.chain import settle_arithmetic

            settle_arithmetic()
            task = open_to_measure(self._storage, spec)
            task.load(self._device)
            try:
                measured = task.measure(unit.start, batches)
            finally:
                task.release()
            self._progress("scan", unit.end - unit.start)
            return measured

        if index.mode == "linear":
            yield from self._measure_in_order(units, decoded(units[0].start, units[-1].end), measure)
        else:
            yield from self._at_once(lambda unit: measure(unit, decoded(unit.start, unit.end)), units)

    @staticmethod
    def _measure_in_order(
        units: Sequence[ScanUnit],
        batches: Iterator[FrameBatch],
        measure: Callable[[ScanUnit, Iterator[FrameBatch]], UnitMeasurement],
    ) -> Iterator[UnitMeasurement]:
        borders = sorted({border for unit in units for border in (unit.start, unit.end)})
        starts = [unit.start for unit in units]

        def unit_of(batch: FrameBatch) -> ScanUnit | None:
            first = int(batch.source_frames[0])
            unit = units[bisect.bisect_right(starts, first) - 1]
            return unit if first < unit.end else None

        for unit, unit_batches in itertools.groupby(split_at(batches, borders), key=unit_of):
            if unit is not None:  # Between two units lie frames that were measured before.
                yield measure(unit, unit_batches)

    def render(self, index: SourceIndex, specs: Sequence[TaskSpec], leases: Sequence[Lease]) -> Iterator[Part]:
        chain = self._loaded_chain(specs, leases[0].built if leases else "")
        try:
            for parts in self._at_once(lambda lease: self._lease(index, chain, lease), leases):
                yield from parts
        finally:
            if chain is not None:
                chain.release()

    def _loaded_chain(self, specs: Sequence[TaskSpec], built: str) -> "Chain | None":
        if not specs:
            return None
        # Brings torch, which takes longer to import than a frame without tasks takes to render.
        from tasks.chain import Chain

        tasks = [open_here(self._storage, spec) for spec in specs]
        chain = Chain(tasks, self._device, BuiltFiles(self._storage, built))
        chain.load()
        return chain

    def _lease(self, index: SourceIndex, chain: "Chain | None", lease: Lease) -> list[Part]:
        counts: Counts = {}
        seconds = StageSeconds()
        decoded = staged(decode_lease(self._storage, index, lease, counts=counts), "decode", _HERE)
        batches = in_thread(seconds.timed(decoded, "decode"), "decode", self._stop)
        if chain is not None or lease.bake_rotation:
            rendered = staged(self._rendered(chain, lease, batches, counts), "render", _HERE)
            batches = in_thread(seconds.timed(rendered, "render"), "render", self._stop)

        def details(work: SegmentWork) -> PartDetails:
            return PartDetails(counts.get(work.segment.number, {}), seconds.since_told(), _HERE)

        parts = encode_lease(self._storage, lease, self._counted(batches), self._scratch, details=details)
        return list(staged(parts, "encode", _HERE))

    def _rendered(
        self, chain: "Chain | None", lease: Lease, batches: Iterator[FrameBatch], counts: Counts
    ) -> Iterator[FrameBatch]:
        return render_batches(chain, lease, batches, self._device_lock, counts, self._storage.put_bytes)

    def _counted(self, batches: Iterator[FrameBatch]) -> Iterator[FrameBatch]:
        for batch in batches:
            yield batch
            self._progress("render", len(batch))
            del batch

    def _at_once(self, work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Results as they come, `LEASES_IN_FLIGHT` at a time; the first failure stops the rest."""
        waiting = iter(items)
        with ThreadPoolExecutor(LEASES_IN_FLIGHT, thread_name_prefix="lease") as threads:
            running: set[Future[R]] = {
                threads.submit(work, item) for item in itertools.islice(waiting, LEASES_IN_FLIGHT)
            }
            try:
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    running |= {threads.submit(work, item) for item in itertools.islice(waiting, len(done))}
                    for future in done:
                        yield future.result()
            except BaseException:
                self._stop.set()
                raise

    def close(self) -> None:
        self._stop.set()


__all__ = ["InProcessPool", "Stopped"]
