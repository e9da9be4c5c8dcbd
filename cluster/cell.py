"""The workers of a cell; thin: each method calls one function of the pipeline.

The encode worker is the root of a pull chain: it pulls from the render worker, which pulls from
the decode worker.  Without tasks there is nothing to render and it pulls from the decode worker
itself.  The driver sends an order, may ask how far it is, and gets parts of about 1 KB; no picture
passes through it.
"""

import importlib
import os
import resource
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import av.logging

from cluster.chains import Chains, one_thread_each
from cluster.gpus.allocator import let_segments_grow
from cluster.gpus.sharing import CardShare
from cluster.messages import Carried, FoundDevice, Order, SoFar, WorkerFacts
from cluster.packages import own_code
from cluster.transport import Worker, fetch, pull
from pipeline.decode import Counts
from pipeline.index import SourceIndex
from pipeline.part import Part, PartDetails
from pipeline.scratch import held
from pipeline.segments import ScanUnit
from pipeline.stages import Stopped, staged
from pipeline.storage import Storage
from pipeline.work import Decoding, UnitWork
from tasks.devices import REHEARSED_GPU
from tasks.errors import SegmentError
from tasks.picture import FrameBatch
from tasks.side_by_side import cpu_seconds
from tasks.task import TaskSpec

if TYPE_CHECKING:
    from cluster.gpus.watch import GpuWatch
    from pipeline.engine import InProcessPool

T = TypeVar("T")


class CellWorker:
    """What every worker can do, in a cell or outside: a step of a journey, a scan unit, tell of itself."""

    stage = "cell"

    def __init__(self, name: str, storage_options: Mapping[str, str], gpu_share: float = 1.0) -> None:
        # Must come after all imports: an importer may install libav's log callback again, and a
        # codec that is freed while it logs then deadlocks (PyAV #1861).
        av.logging.set_level(None)
        self.name = name
        self._storage = Storage(dict(storage_options))
        self._stopped: set[int] = set()
        self._scans: dict[int, InProcessPool] = {}
        self._doing: dict[int, Doing] = {}
        self._share = CardShare(gpu_share)

    def so_far(self, known: Mapping[int, int]) -> dict[int, SoFar]:
        """By order that this worker was given and works on; `known`: how many of its results the asker has."""
        return {
            number: SoFar(doing.frames, tuple(doing.results[known.get(number, 0) :]))
            for number, doing in list(self._doing.items())
        }

    def _outcome(self, order: int, work: Callable[["Doing"], Iterator[Part | ScanUnit]]) -> SoFar:
        """What an order came to; what is done of it is told meanwhile to whoever asks."""
        doing, error = Doing(), None
        self._doing[order] = doing
        try:
            with ended(work(doing)) as results:
                for result in results:
                    doing.results.append(result)
        except SegmentError as failure:
            error = failure
        except Stopped:
            error = SegmentError("stopped", self.stage, self.name, Stopped.__name__)
        finally:
            del self._doing[order]
        return SoFar(doing.frames, tuple(doing.results), error)

    def facts(self) -> WorkerFacts:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        name = f"{self.name}:{os.getpid()}"
        return WorkerFacts(name, own_code(), cpu_seconds, usage.ru_maxrss * 1024, self.gpu_words())

    def gpu_words(self) -> str:
        """What was seen of the GPU; empty for whoever has none."""
        return ""

    def stop(self, order: int) -> None:
        """Make the stages of one order end at their next batch."""
        self._stopped.add(order)
        if order in self._scans:
            self._scans[order].close()

    def do(self, module: str, name: str, *arguments: object) -> object:
        """The answer of a module-level step of the pipeline, with a scratch folder of its own."""
        step = getattr(importlib.import_module(module), name)
        made = tempfile.TemporaryDirectory(prefix="reelyard-step-", dir=session_folder())
        with made as folder, held(Path(folder)):
            scratch = Path(folder) / "step"
            scratch.mkdir()
            return step(self._storage, scratch, *arguments)

    def find_device(self, asked: str) -> FoundDevice:
        """The device this worker computes on, why, its memory, and what it offers to networks."""
        from tasks.devices import choose_device
        from tasks.runtime.machine import machine_of

        choice = choose_device(asked)
        machine = machine_of(choice.device)
        if not choice.device.startswith("cuda"):
            return FoundDevice(choice.device, choice.reason, int(choice.device == REHEARSED_GPU), machine)
        import torch

        memory_bytes = self._share.of(torch.cuda.get_device_properties(choice.device).total_memory)
        return FoundDevice(choice.device, choice.reason, memory_bytes, machine)

    def measure(
        self,
        order: int,
        index: SourceIndex,
        spec: TaskSpec,
        works: Sequence[UnitWork],
        decoding: Decoding,
        device: str,
    ) -> SoFar:
        """The units, decoded, measured and stored by the engine in this process."""
        from pipeline.engine import InProcessPool

        one_thread_each()
        self._share.settle(device)
        pool = InProcessPool(self._storage, device, Path(tempfile.gettempdir()), lambda stage, frames: None)
        self._scans[order] = pool
        if order in self._stopped:
            pool.close()
        measured = staged(pool.measure(index, spec, works, decoding), "scan", self.name)

        def counted(doing: Doing) -> Iterator[ScanUnit]:
            with ended(measured):
                for unit in measured:
                    doing.frames += unit.end - unit.start
                    yield unit

        try:
            return self._outcome(order, counted)
        finally:
            del self._scans[order]

    def _until_stopped(self, order: Order, batches: Iterator[FrameBatch]) -> Iterator[FrameBatch]:
        for batch in batches:
            if order.number in self._stopped:
                raise Stopped
            yield batch
            del batch


@dataclass(eq=False)
class Doing:
    """An order in work: its frames that went through, and its results."""

    frames: int = 0
    results: list[Part | ScanUnit] = field(default_factory=list)


class DecodeWorker(CellWorker):
    """Source bytes to batches."""

    stage = "decode"

    def batches(self, order: Order) -> Iterator[Carried]:
        from pipeline.decode import decode_lease

        tally = Tally()
        lease = fetch(order.lease)
        decoded = decode_lease(self._storage, fetch(order.index), lease, counts=tally.here)
        with ended(staged(self._until_stopped(order, decoded), self.stage, self.name)) as batches:
            for batch in batches:
                yield tally.carry(batch, self.stage)
                del batch


class RenderWorker(CellWorker):
    """Batches to batches, through tasks that stay loaded; one batch at a time is on the device."""

    stage = "render"

    def __init__(self, name: str, storage_options: Mapping[str, str], gpu_share: float = 1.0) -> None:
        super().__init__(name, storage_options, gpu_share)
        let_segments_grow(os.environ)
        self._chains = Chains(self._storage, self._share)
        self._device_lock = threading.Lock()
        self._gpus: dict[str, GpuWatch | None] = {}
        # The source is being probed meanwhile; whoever needs torch waits for this import, not for two.
        threading.Thread(target=one_thread_each, daemon=True, name="warm").start()

    def gpu_words(self) -> str:
        return "; ".join(str(watch.seen) for watch in list(self._gpus.values()) if watch is not None)

    def _watch(self, device: str) -> None:
        """Look at a GPU from its first order on; what it warns of stands in the report."""
        if not device.startswith("cuda") or device in self._gpus:
            return
        from cluster.gpus.opening import watch_of
        from tasks.residency.residents import residents_on

        self._gpus[device] = None
        self._gpus[device] = watch_of(device, residents_on(device).tell)

    def batches(self, order: Order, decode: Worker) -> Iterator[Carried]:
        with ended(staged(self._rendered(order, decode), self.stage, self.name)) as batches:
            yield from batches

    def _rendered(self, order: Order, decode: Worker) -> Iterator[Carried]:
        from pipeline.stages import render_batches

        lease = fetch(order.lease)
        with self._chains.held(order.specs, order.device, lease.built) as chain:
            self._watch(order.device)
            tally = Tally()
            decoded = tally.unpacked(pull(decode, "batches", order, window=order.window))
            put = self._storage.put_bytes
            rendered = render_batches(chain, lease, decoded, self._device_lock, tally.here, put)
            with ended(decoded), ended(self._until_stopped(order, rendered)) as batches:
                for batch in batches:
                    yield tally.carry(batch, self.stage)
                    del batch


class EncodeWorker(CellWorker):
    """The root of the pull chain: batches to committed parts."""

    stage = "encode"

    def __init__(self, name: str, storage_options: Mapping[str, str], gpu_share: float = 1.0) -> None:
        super().__init__(name, storage_options, gpu_share)
        self._frames = 0
        self._counting = threading.Lock()
        # In the folder of the session, where there is one: it goes with a local Ray, however that ends.
        self._scratch = Path(tempfile.mkdtemp(prefix="reelyard-encode-", dir=session_folder()))

    def frames(self) -> int:
        """Frames encoded by this process so far."""
        return self._frames

    def end(self) -> None:
        """Remove the scratch folder; the process is about to be ended."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def parts(self, order: Order, decode: Worker, render: Worker | None) -> SoFar:
        """The parts of an order, committed."""
        return self._outcome(order.number, lambda doing: self._encoded(order, decode, render, doing))

    def _encoded(self, order: Order, decode: Worker, render: Worker | None, doing: Doing) -> Iterator[Part]:
        from pipeline.encode import encode_lease

        tally = Tally()
        upstream = (decode, "batches", order) if render is None else (render, "batches", order, decode)
        pulled = tally.unpacked(pull(*upstream, window=order.window))
        batches = self._counted(doing, self._until_stopped(order, pulled))
        parts = encode_lease(
            self._storage,
            fetch(order.lease),
            batches,
            self._scratch,
            details=lambda work: PartDetails(
                tally.counts_of(work.segment.number), tally.seconds_since(self.stage), self.name
            ),
        )
        with ended(pulled), ended(staged(parts, self.stage, self.name)) as committed:
            yield from committed

    def _counted(self, doing: Doing, batches: Iterator[FrameBatch]) -> Iterator[FrameBatch]:
        for batch in batches:
            count = len(batch)
            yield batch
            del batch
            with self._counting:
                self._frames += count
                doing.frames += count


def session_folder() -> str | None:
    """The folder of the Ray that this worker belongs to; None where it cannot be written to."""
    import ray

    node = getattr(ray._private.worker, "_global_node", None)
    folder = node.get_session_dir_path() if node is not None else None
    return folder if folder and os.access(folder, os.W_OK) else None


class Tally:
    """What one stage of one order counted and used, with what came from the stages before it."""

    def __init__(self) -> None:
        self.here: Counts = {}
        "What this stage counted, by segment."
        self._before: Counts = {}
        self._seconds: dict[str, float] = {}
        self._told: dict[str, float] = {}
        self._cpu = cpu_seconds()
        self._wall = time.monotonic()

    def carry(self, batch: FrameBatch, stage: str) -> Carried:
        """The batch as it leaves this stage."""
        counts = {segment: self.counts_of(segment) for segment in {**self._before, **self.here}}
        return Carried(batch, counts, {**self._seconds, stage: cpu_seconds() - self._cpu})

    def unpacked(self, stream: Iterator[Carried]) -> Iterator[FrameBatch]:
        """The batches of a stream; the tally becomes what it was where each batch left."""
        with ended(stream):
            for item in stream:
                self._before.update({segment: dict(found) for segment, found in item.counts.items()})
                self._seconds.update(item.seconds)
                batch = item.batch
                del item
                yield batch
                del batch

    def counts_of(self, segment: int) -> dict[str, int]:
        """What was counted of a segment, here and before."""
        return {**self._before.get(segment, {}), **self.here.get(segment, {})}

    def seconds_since(self, stage: str) -> dict[str, float]:
        """CPU seconds by stage, and wall seconds, since this was last asked."""
        now = {**self._seconds, stage: cpu_seconds() - self._cpu, "wall": time.monotonic() - self._wall}
        since = {name: value - self._told.get(name, 0.0) for name, value in now.items()}
        self._told = now
        return since


@contextmanager
def ended(items: Iterator[T]) -> Iterator[Iterator[T]]:
    """The same iterator; closed at the end of the block, so that what it pulls from is cancelled."""
    try:
        yield items
    finally:
        close = getattr(items, "close", None)
        if close is not None:
            close()
