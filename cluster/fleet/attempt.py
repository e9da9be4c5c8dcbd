"""One attempt on one cell: its results, its frames, how it is stopped and how it ends."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence

from cluster import transport
from cluster.budget import StoreBudget
from cluster.fleet.standing import StandingCell
from cluster.fleet.store import SharedIndexes, StoreAccount
from cluster.fleet.values import Passed, RenderWork, ScanWork, Told, Yielded
from cluster.messages import Order, SoFar
from cluster.scheduling.values import Attempt
from pipeline.part import Part
from pipeline.segments import ScanUnit
from pipeline.stages import Stopped
from tasks.errors import ReelyardError, SegmentError, WorkerLost

log = logging.getLogger("reelyard")

#: How long an attempt that was stopped may take to end by itself.
_GRACE_SECONDS = 10.0


class RunningAttempt:
    """An attempt from its start to its `Ended`; used in one event loop."""

    def __init__(
        self, attempt: Attempt, work: RenderWork | ScanWork, cell: StandingCell, tell: Callable[[Told], None]
    ) -> None:
        self.attempt = attempt
        self.work = work
        self.cell = cell
        self.root: transport.Worker | None = None
        "Who was given the order, once it was."
        self.last_sign = asyncio.get_running_loop().time()
        "When it last gave a result or passed a frame."
        self._tell = tell
        self._told_frames = 0
        self._done: dict[int, int] = {}
        "End by start, of the results that were told."
        self._stopped = False
        self._hung = ""
        self._waiting: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], Awaitable[SoFar]]) -> SegmentError | None:
        """Waits for the results and tells them; returns why there are less, a bug of ours among the reasons."""
        self._waiting = asyncio.create_task(self._wait(work))
        error: SegmentError | None = None
        try:
            await self._waiting
        except SegmentError as failure:
            error = failure
        except ReelyardError as failure:
            error = SegmentError(failure.message, "cell", self.cell.name, type(failure).__name__)
        except asyncio.CancelledError:
            error = self._interruption()
        except Exception as failure:
            log.exception("attempt %d", self.attempt.number)
            error = SegmentError(f"{type(failure).__name__}: {failure}", "driver", "", "bug")
        if error is not None and not self.cell.gone:
            self.cell.stop(self.attempt.number)
        return error

    def begin(self, root: transport.Worker) -> None:
        """It is given out now: what it waited for workers or room before was no silence of theirs."""
        self.root, self.last_sign = root, asyncio.get_running_loop().time()

    def _interruption(self) -> SegmentError:
        if self._hung:
            return SegmentError(self._hung, "cell", self.cell.name, WorkerLost.__name__)
        return SegmentError("stopped", "cell", self.cell.name, Stopped.__name__)

    async def _wait(self, work: Callable[[], Awaitable[SoFar]]) -> None:
        outcome = await work()
        self.note(outcome)
        if outcome.error is not None:
            raise outcome.error
        if self._missing():
            raise SegmentError("it ended before its part was told", "encode", self.cell.name, "WorkerLost")

    @property
    def known(self) -> int:
        """How many results were told."""
        return len(self._done)

    def note(self, so_far: SoFar) -> None:
        """What its worker has done of it."""
        self._pass(so_far.frames)
        self._note(so_far.results)

    def _note(self, results: Sequence[Part | ScanUnit]) -> None:
        """Tell those that were not told yet; an answer may come after a later one."""
        fresh = tuple(result for result in results if result.start not in self._done)
        if not fresh:
            return
        self.cell.deaths = 0
        self._done |= {result.start: result.end for result in fresh}
        self._pass(sum(end - start for start, end in self._done.items()))
        self._tell(Yielded(self.attempt.number, fresh))

    def _pass(self, frames: int) -> None:
        if frames > self._told_frames:
            self.last_sign = asyncio.get_running_loop().time()
            self._tell(Passed(self.attempt.number, frames - self._told_frames))
            self._told_frames = frames

    def _missing(self) -> list[tuple[int, int, int]]:
        """(number, first, end) of what was not done yet."""
        if isinstance(self.work, ScanWork):
            ranges = [(unit.number, unit.start, unit.end) for unit in (work.unit for work in self.work.works)]
        else:
            segments = [work.segment for work in self.work.lease.works]
            ranges = [(segment.number, segment.start, segment.end) for segment in segments]
        return [found for found in ranges if found[1] not in self._done]

    def placed(self, error: SegmentError) -> SegmentError:
        """The error, saying on which segments or scan units: those that were not told as done."""
        left = self._missing()
        if not left or error.kind == Stopped.__name__:
            return error
        one, frames = ("scan unit", "source") if isinstance(self.work, ScanWork) else ("segment", "output")
        where = f"{one} {left[0][0]}" if len(left) == 1 else f"{one}s {left[0][0]}-{left[-1][0]}"
        message = f"{where} ({frames} frames {left[0][1]}-{left[-1][2]}): {error.message}"
        return SegmentError(message, error.stage, error.worker, error.kind)

    async def stop(self) -> None:
        """Make it end at its next batch, or in `_GRACE_SECONDS` whatever it does."""
        if self._stopped:
            return
        self._stopped = True
        self.cell.stop(self.attempt.number)
        if self.root is None:
            self.drop()
            return
        await asyncio.sleep(_GRACE_SECONDS)
        self.drop()

    def hang(self, message: str) -> None:
        """Give it up: it gives no sign of life."""
        self._hung = message
        self.cell.restart()
        self.drop()

    def drop(self) -> None:
        """Wait for nothing any more."""
        if self._waiting is not None:
            self._waiting.cancel()


async def rendered(
    running: RunningAttempt,
    work: RenderWork,
    device: str,
    budget_of: Callable[[], StoreBudget],
    account: StoreAccount,
    indexes: SharedIndexes,
) -> SoFar:
    """A lease through the pull chain of the cell."""
    cell = running.cell
    await cell.whole()
    budget = budget_of()
    render = cell.render if work.specs or work.lease.bake_rotation else None
    async with account.reserved(budget.needed_bytes // budget.leases):
        order = Order(
            running.attempt.number, indexes.take(work.index), transport.enclosed(work.lease), work.specs, device,
            budget.window,
        )  # fmt: skip
        try:
            running.begin(cell.encode)
            with _counted(cell, cell.encode):
                outcome: SoFar = await transport.placed_answer(cell.encode, "parts", order, cell.decode, render)
                return outcome
        finally:
            indexes.give(work.index)


async def measured(running: RunningAttempt, work: ScanWork, device: str, indexes: SharedIndexes) -> SoFar:
    """Measurements of scan units, on one worker of the cell."""
    cell = running.cell
    await cell.whole()
    worker = cell.scan_worker(device)
    running.begin(worker)
    index = indexes.take(work.index).reference
    try:
        with _counted(cell, worker):
            outcome: SoFar = await transport.placed_answer(
                worker, "measure", running.attempt.number, index, work.spec, work.works, work.decoding, device
            )
            return outcome
    finally:
        indexes.give(work.index)


@contextlib.contextmanager
def _counted(cell: StandingCell, worker: transport.Worker) -> Iterator[None]:
    """The attempt counts among those of its root worker for the time of the block."""
    cell.leases[worker.name] += 1
    try:
        yield
    finally:
        cell.leases[worker.name] -= 1
