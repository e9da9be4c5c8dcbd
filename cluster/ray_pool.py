"""The pool of a cluster: leases handed to cells, retried, stopped; no picture passes through here."""

import contextlib
import itertools
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster import transport
from cluster.budget import LEASES_IN_FLIGHT, StoreBudget, plan_store
from cluster.connection import Connection
from cluster.messages import Order, WorkerFacts
from cluster.packages import differences, own_code
from cluster.placement import CellPlace, place_cell
from cluster.retry import wait_before
from pipeline.index import SourceIndex
from pipeline.part import Part
from pipeline.pool import Decision, Progress, Step
from pipeline.segments import ScanUnit
from pipeline.stages import Stopped
from pipeline.work import Decoding, Lease, SegmentWork, UnitWork
from tasks.errors import JobError, ReelyardError, SegmentError
from tasks.task import TaskSpec

log = logging.getLogger("reelyard")

#: How often progress is asked for; until the first frame, and then.
_FIRST_ASK_SECONDS, _ASK_SECONDS = 0.1, 0.5
#: Calls that a worker serves at once: one for each lease in flight, and one for a probe or scan.
_CALLS = LEASES_IN_FLIGHT + 1


@dataclass(frozen=True)
class Cell:
    """The workers that render a lease together, on one node."""

    decode: transport.Worker
    render: transport.Worker | None
    encode: transport.Worker

    @property
    def workers(self) -> tuple[transport.Worker, ...]:
        return (self.decode, *((self.render,) if self.render else ()), self.encode)


class RayPool:
    """One cell on a Ray that is connected; implements `pipeline.pool.Pool`."""

    def __init__(
        self,
        connection: Connection,
        storage_options: Mapping[str, str],
        *,
        device: str,
        altering: bool,
        progress: Progress,
    ) -> None:
        """`altering`: some task or label draws, so that a render worker is needed."""
        self._connection = connection
        self._progress = progress
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._asked = device
        self._place = place_cell(connection, device if altering else "cpu")
        self._cell = _start_cell(self._place, storage_options, altering)
        self._device: str | None = None
        self.decisions: tuple[Decision, ...] = ()
        self._checked = False
        self._closed = False

    @property
    def device_class(self) -> str:
        return f"{self._device_name().split(':')[0]}-fp32"

    def _device_name(self) -> str:
        if self._device is None:
            self._check()
            self._device, reason = "cpu", "no task draws: nothing is computed on a device"
            if self._cell.render is not None:
                self._device, reason = transport.call(self._cell.render, "choose_device", self._asked)
            self.decisions += (Decision("device", self._device, reason),)
        return self._device

    def _check(self) -> None:
        """Every worker runs the driver's own code and versions.

        Raises:
            JobError: one does not, with what differs.
        """
        if self._checked:
            return
        for worker in self._cell.workers:
            facts: WorkerFacts = transport.call(worker, "facts")
            differing = differences(own_code(), facts.code)
            if differing:
                raise JobError(
                    f"worker {facts.name} runs {', '.join(differing)}; "
                    "install on every node what the driver has, or use one image for both"
                )
        self._checked = True

    def do(self, step: Step, *arguments: object) -> Any:
        where = (step.__module__, step.__name__)
        return transport.call(self._cell.decode, "do", *where, *arguments, stopped=self._stop.is_set)

    def measure(
        self, index: SourceIndex, spec: TaskSpec, works: Sequence[UnitWork], decoding: Decoding
    ) -> Iterator[ScanUnit]:
        """Units of a random source on all workers side by side, those of a linear one on one of them."""
        shared, device = transport.share(index), self._device_name()
        groups = [tuple(works)] if index.mode == "linear" else [(work,) for work in works]
        lanes = self._scan_lanes(len(groups), device)

        def measure(worker: transport.Worker, group: tuple[UnitWork, ...]) -> Iterator[ScanUnit]:
            arguments = (shared.reference, spec, group, decoding, device)
            for measured in self._pulled(worker, "measure", *arguments):
                self._progress("scan", measured.end - measured.start)
                yield measured

        yield from self._spread(lanes, groups, measure)

    def _scan_lanes(self, groups: int, device: str) -> list[transport.Worker]:
        """Workers that measure: the render worker, which has torch already, and others where it pays."""
        cell = self._cell
        idle = [cell.decode, cell.encode]
        if cell.render is None:
            return idle
        if device != "cpu":
            return [cell.render]
        return [cell.render, *idle][: max(1, min((groups + 1) // 2, self._connection.cpus))]

    def render(self, index: SourceIndex, specs: Sequence[TaskSpec], leases: Sequence[Lease]) -> Iterator[Part]:
        if not leases:
            return
        device = self._device_name()
        if self._cell.render is not None:
            transport.call(self._cell.render, "load", tuple(specs), device, stopped=self._stop.is_set)
        budget = self._budget(index, leases)
        shared = transport.share(index)
        watch = _FrameWatch(self._cell.encode, self._progress)

        def render(_: int, lease: Lease) -> Iterator[Part]:
            yield from self._lease_with_retries(lease, lambda left: self._ordered(shared, left, specs, device, budget))

        yield from self._spread(range(min(budget.leases, len(leases))), leases, render, watch.look)

    def _budget(self, index: SourceIndex, leases: Sequence[Lease]) -> StoreBudget:
        batch_bytes = max(lease.batch_frames for lease in leases) * index.format.frame_bytes
        hops = 1 if self._cell.render is None else 2
        budget = plan_store(batch_bytes, hops, self._connection.store_bytes)
        log.info("object store: %s", budget.arithmetic())
        self.decisions += (Decision("object store", f"window {budget.window}", budget.arithmetic()),)
        return budget

    def _ordered(
        self, index: Any, lease: Lease, specs: Sequence[TaskSpec], device: str, budget: StoreBudget
    ) -> Iterator[Part]:
        """One attempt at a lease."""
        order = Order(next(self._numbers), index, transport.share(lease), tuple(specs), device, budget.window)
        try:
            yield from self._pulled(self._cell.encode, "parts", order, self._cell.decode, self._cell.render)
        except BaseException:
            for worker in self._cell.workers:
                transport.notify(worker, "stop", order.number)
            raise

    def _lease_with_retries(self, lease: Lease, attempt: Callable[[Lease], Iterator[Part]]) -> Iterator[Part]:
        works, failed = lease.works, 0
        while works:
            try:
                for part in attempt(replace(lease, works=works)):
                    yield part
                    failed = 0
                    works = tuple(work for work in works if work.segment.number > part.segment)
                if works:
                    raise SegmentError("its stream ended before its part was told", "encode", "", "WorkerLost")
            except SegmentError as error:
                failed += 1
                pause = wait_before(error.kind, failed)
                if pause is None or self._stop.is_set():
                    raise _placed(error, works or lease.works) from error
                number = (works or lease.works)[0].segment.number
                log.warning("segment %d again: %s", number, error.message)
                self.decisions += (Decision("retry", f"segment {number}", error.message),)
                time.sleep(pause)
                self._await_workers()

    def _await_workers(self) -> None:
        for worker in self._cell.workers:
            transport.await_alive(worker)

    def _pulled(self, worker: transport.Worker, method: str, *arguments: object) -> Iterator[Any]:
        return transport.pull(worker, method, *arguments, window=2, stopped=self._stop.is_set)

    def _spread(
        self,
        lanes: Sequence[Any],
        items: Sequence[Any],
        work: Callable[[Any, Any], Iterator[Any]],
        look: Callable[[], float] = lambda: _ASK_SECONDS,
    ) -> Iterator[Any]:
        """Results as they come; a free lane takes the next item, the first failure stops all."""
        waiting = deque(items)
        results: queue.Queue[object] = queue.Queue()

        def run(lane: Any) -> None:
            try:
                while not self._stop.is_set():
                    try:
                        item = waiting.popleft()
                    except IndexError:
                        break
                    for result in work(lane, item):
                        results.put(result)
                results.put(_DONE)
            except BaseException as error:
                results.put(error)

        threads = [threading.Thread(target=run, args=(lane,), daemon=True, name="lease") for lane in lanes]
        try:
            for thread in threads:
                thread.start()
            yield from _until_done(results, len(threads), look)
        except BaseException:
            self._halt(threads)
            raise

    def _halt(self, threads: Sequence[threading.Thread]) -> None:
        self._stop.set()
        for thread in threads:
            thread.join(timeout=10.0)

    def worker_facts(self) -> list[WorkerFacts]:
        """What the workers used so far; none of those that do not answer."""
        found = []
        for worker in self._cell.workers:
            try:
                found.append(transport.control(worker, "facts", timeout_seconds=2.0))
            except ReelyardError:
                continue
        return found

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        with contextlib.suppress(ReelyardError):
            transport.control(self._cell.encode, "end", timeout_seconds=3.0)
        for worker in self._cell.workers:
            transport.kill(worker)
        self._place.release()


_DONE = object()


def _until_done(results: "queue.Queue[object]", lanes: int, look: Callable[[], float]) -> Iterator[Any]:
    wait_seconds = _FIRST_ASK_SECONDS
    while lanes:
        try:
            result = results.get(timeout=wait_seconds)
        except queue.Empty:
            wait_seconds = look()
            continue
        if result is _DONE:
            lanes -= 1
        elif isinstance(result, BaseException):
            raise result
        else:
            yield result
    look()


class _FrameWatch:
    """Asks the encode worker how many frames went through it, and tells the progress."""

    def __init__(self, encode: transport.Worker, progress: Progress) -> None:
        self._encode = encode
        self._progress = progress
        self._told = self._frames() or 0
        self._first = True

    def _frames(self) -> int | None:
        """None where the worker does not answer: it is being started anew, or very busy."""
        try:
            return int(transport.control(self._encode, "frames", timeout_seconds=5.0))
        except ReelyardError:
            return None

    def look(self) -> float:
        """Tells the frames since the last look; returns the seconds until the next."""
        frames = self._frames()
        if frames is not None:
            if frames < self._told:  # The worker was started anew and counts from 0.
                self._told = 0
            if frames > self._told:
                self._progress("render", frames - self._told)
                self._first = False
            self._told = frames
        return _FIRST_ASK_SECONDS if self._first else _ASK_SECONDS


def _placed(error: SegmentError, works: Sequence[SegmentWork]) -> SegmentError:
    first, last = works[0].segment, works[-1].segment
    where = f"segment {first.number}" if first == last else f"segments {first.number}-{last.number}"
    message = f"{where} (output frames {first.start}-{last.end}): {error.message}"
    return SegmentError(message, error.stage, error.worker, error.kind)


def _start_cell(place: CellPlace, storage_options: Mapping[str, str], altering: bool) -> Cell:
    def start(stage: str, target: str) -> transport.Worker:
        name = f"{stage}-0"
        arguments = {"name": name, "storage_options": dict(storage_options)}
        return transport.start_worker(
            f"cluster.cell:{target}", stage, name, arguments, calls=_CALLS, options=place.options(stage)
        )

    decode, encode = start("decode", "DecodeWorker"), start("encode", "EncodeWorker")
    return Cell(decode, start("render", "RenderWorker") if altering else None, encode)


__all__ = ["Cell", "RayPool", "Stopped"]
