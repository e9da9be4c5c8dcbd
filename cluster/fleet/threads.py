"""A fleet without Ray: one cell of threads in this process, for `--in-process` and as the reference of the others."""

import threading
from collections.abc import Callable
from pathlib import Path
from queue import Queue
from typing import Any

from cluster.fleet.values import CellUp, Ended, Passed, RenderWork, ScanWork, Told, Yielded
from cluster.messages import WorkerFacts
from cluster.scheduling.values import Attempt, Cell
from pipeline.engine import LEASES_IN_FLIGHT, InProcessPool
from pipeline.pool import Decision
from pipeline.stages import Stopped
from pipeline.storage import Storage
from tasks.errors import ReelyardError, SegmentError
from tasks.runtime.choice import Machine

_HERE = "in-process"


class ThreadFleet:
    """Implements `cluster.fleet.values.Fleet`; every attempt has an engine of its own."""

    def __init__(
        self, storage: Storage, device: str, scratch: Path, decisions: tuple[Decision, ...] = (), cells: int = 1
    ) -> None:
        self.told: Queue[Told] = Queue()
        self.decisions = decisions
        self.device_class = f"{device.split(':')[0]}-fp32"
        self._storage = storage
        self._device = device
        self._scratch = scratch
        self._running: dict[int, InProcessPool] = {}
        self._cancelled: set[int] = set()
        for number in range(cells):
            kind = device.split(":")[0]
            self.told.put(CellUp(Cell(f"cell-{number}", _HERE, kind, LEASES_IN_FLIGHT)))

    @property
    def machine(self) -> Machine:
        from tasks.runtime.machine import machine_of

        return machine_of(self._device)

    def start(self, attempt: Attempt, work: RenderWork | ScanWork) -> None:
        device = "cpu" if attempt.on_cpu else self._device
        pool = InProcessPool(self._storage, device, self._scratch, self._progress(attempt))
        self._running[attempt.number] = pool
        threading.Thread(target=self._run, args=(attempt, work, pool), daemon=True, name="attempt").start()

    def _progress(self, attempt: Attempt) -> Callable[[str, int], None]:
        return lambda stage, frames: self.told.put(Passed(attempt.number, frames))

    def _run(self, attempt: Attempt, work: RenderWork | ScanWork, pool: InProcessPool) -> None:
        error: SegmentError | None = None
        try:
            if isinstance(work, RenderWork):
                for part in pool.render(work.index, work.specs, [work.lease]):
                    self.told.put(Yielded(attempt.number, (part,)))
            else:
                for unit in pool.measure(work.index, work.spec, work.works, work.decoding):
                    self.told.put(Yielded(attempt.number, (unit,)))
        except BaseException as failure:
            error = _placed(failure)
        finally:
            self._running.pop(attempt.number, None)
            pool.close()
        if attempt.number in self._cancelled:
            error = SegmentError("stopped", "cell", _HERE, Stopped.__name__)
        self.told.put(Ended(attempt.number, error))

    def cancel(self, attempt: int) -> None:
        self._cancelled.add(attempt)
        if (pool := self._running.get(attempt)) is not None:
            pool.close()

    def do(self, function: Callable[..., Any], *arguments: object, stopped: Callable[[], bool]) -> tuple[Any, str]:
        if stopped():
            raise Stopped
        pool = InProcessPool(self._storage, self._device, self._scratch, lambda stage, frames: None)
        return pool.do(function, *arguments), _HERE

    def want(self, cells: int) -> None:
        """A process does not grow."""

    def tell_queue(self, waits: bool) -> None:
        """Every batch tells of itself."""

    def facts(self) -> list[WorkerFacts]:
        return []

    def close(self) -> None:
        for number in list(self._running):
            self.cancel(number)


def _placed(error: BaseException) -> SegmentError:
    if isinstance(error, SegmentError):
        return error
    if isinstance(error, ReelyardError):
        return SegmentError(error.message, "cell", _HERE, type(error).__name__)
    return SegmentError(f"{type(error).__name__}: {error}", "cell", _HERE, "bug")
