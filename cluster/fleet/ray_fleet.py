"""The fleet on Ray: attempts run on cells that come and go with the nodes; what runs where is decided elsewhere.

All state lives in one event loop, in a thread of its own, which waits for every call and node
at once.  Callers leave word there from any thread, and are told in `told`.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from queue import Queue
from typing import Any, TypeVar

from cluster import transport
from cluster.budget import LEASES_IN_FLIGHT, StoreBudget
from cluster.connection import Connection
from cluster.costs import encode_milliseconds
from cluster.fleet.attempt import RunningAttempt, measured, rendered
from cluster.fleet.census import Census
from cluster.fleet.here import StepsHere
from cluster.fleet.nodes import alive_nodes
from cluster.fleet.plan import no_gpu, plan_cells, wants_gpu
from cluster.fleet.progress import watch_progress
from cluster.fleet.side import SideWork
from cluster.fleet.standing import StandingCell
from cluster.fleet.store import SharedIndexes, StoreAccount, lease_budget
from cluster.fleet.values import Ended, RenderWork, ScanWork, Told
from cluster.messages import SoFar, WorkerFacts
from cluster.scheduling.values import Attempt
from pipeline.ledger import committed_parts
from pipeline.part import EncodeSpec
from pipeline.pool import Decision
from pipeline.stages import Stopped
from tasks.errors import ReelyardError, SegmentError, WorkerLost
from tasks.runtime.choice import Machine

log = logging.getLogger("reelyard")

T = TypeVar("T")

#: How often a waiting caller looks whether it was told to stop.
_LOOK_SECONDS = 1.0
_FACTS_SECONDS, _CLOSE_SECONDS = 2.0, 15.0
#: How long the parts of a lost worker may take to be found.
_FIND_SECONDS = 20.0


class RayFleet:
    """Cells and side workers on a Ray that is connected; implements `cluster.fleet.values.Fleet`."""

    def __init__(
        self,
        connection: Connection,
        storage_options: Mapping[str, str],
        *,
        device: str = "auto",
        altering: bool = True,
        idle_seconds: float = transport.IDLE_SECONDS,
        first_cells: int | None = None,
        gpus_per_cell: float = 1.0,
    ) -> None:
        """`altering`: some task or label of the run draws, so that cells need render workers.

        `first_cells`: cells started at first, more as `want` asks for them; all that fit where not given.
        `gpus_per_cell`: the share of a GPU that each cell is given.

        Raises:
            ResourceShortage: a GPU was asked for and this machine's own Ray has none.
        """
        nodes = alive_nodes()
        if connection.local and wants_gpu(nodes, device, altering) and not any(node.gpus for node in nodes):
            raise no_gpu()
        self.told: Queue[Told] = Queue()
        self.decisions: tuple[Decision, ...] = ()
        self._attempts: dict[int, RunningAttempt] = {}
        self._indexes = SharedIndexes()
        self._accounts: dict[str, StoreAccount] = {}
        self._said: set[object] = set()
        self._closed = False
        self._work_waits = True
        self._side = SideWork(storage_options)
        small = connection.local and sum(len(plan_cells(node, False)) for node in nodes) <= 1
        self._here = StepsHere(storage_options) if small else None
        self._census = Census(
            connection, storage_options, device, altering, self._side, self.told.put, self._decide, self._drop,
            first_cells, gpus_per_cell,
        )  # fmt: skip
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="fleet")
        self._thread.start()

        def begin() -> None:
            self._census.begin(nodes)
            self._census.spawn(watch_progress(self._attempts.values, lambda: self._work_waits, idle_seconds))

        self._soon(begin)

    @property
    def device_class(self) -> str:
        """Of all cells; waits for the first to say what it computes on.

        Raises:
            ReelyardError: no cell could be placed, or none started.
        """
        return self._census.settled.result()

    @property
    def machine(self) -> Machine:
        """Settled with the device class, by the cells that had answered by then.

        Raises:
            ReelyardError: as `device_class`.
        """
        self._census.settled.result()
        return self._census.machine

    def _soon(self, call: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # Closed meanwhile: nobody is left to be told.
            self._loop.call_soon_threadsafe(call, *arguments)

    def _decide(self, decision: Decision) -> None:
        log.info("%s: %s (%s)", decision.what, decision.choice, decision.reason)
        self.decisions += (decision,)

    def _say_once(self, about: object, decision: Decision) -> None:
        if about not in self._said:
            self._said.add(about)
            self._decide(decision)

    def want(self, cells: int) -> None:
        """There is work for so many cells in all: a cluster that grows by itself is shown what is missing."""
        self._soon(self._census.want, cells)

    def tell_queue(self, waits: bool) -> None:
        """Attempts are asked how far they are more often where no unit waits."""
        self._work_waits = waits

    # --- attempts -------------------------------------------------------------------------------

    def start(self, attempt: Attempt, work: RenderWork | ScanWork) -> None:
        """Begin; an `Ended` follows always, unless the cell goes down."""
        self._soon(self._start, attempt, work)

    def _start(self, attempt: Attempt, work: RenderWork | ScanWork) -> None:
        cell = self._census.cells.get(attempt.cell)
        if cell is None:  # It went down before this came; its CellDown is in `told`.
            return
        running = RunningAttempt(attempt, work, cell, self.told.put)
        self._attempts[attempt.number] = running
        self._census.spawn(self._run(running))

    async def _run(self, running: RunningAttempt) -> None:
        try:
            error = await running.run(lambda: self._results(running))
            if error is not None and not running.cell.gone:
                await self._find_parts(running, error)
                error = running.placed(error)
        finally:
            self._attempts.pop(running.attempt.number, None)
        if error is not None and error.kind == WorkerLost.__name__:
            self._census.lost(running.cell)
        if not running.cell.gone:
            self.told.put(Ended(running.attempt.number, error))

    async def _find_parts(self, running: RunningAttempt, error: SegmentError) -> None:
        """What a lost worker committed and did not tell lies in storage; where that fails too it is made again."""
        work = running.work
        if error.kind != WorkerLost.__name__ or not isinstance(work, RenderWork):
            return
        asked = self._side.do(committed_parts.__module__, committed_parts.__name__, (work.lease.works,))
        with contextlib.suppress(ReelyardError, Stopped, TimeoutError):
            parts, _ = await asyncio.wait_for(asked, _FIND_SECONDS)
            running.note(SoFar(0, parts))

    def _results(self, running: RunningAttempt) -> Coroutine[Any, Any, SoFar]:
        work, cell = running.work, running.cell
        device = "cpu" if running.attempt.on_cpu else cell.device
        if isinstance(work, ScanWork):
            return measured(running, work, device, self._indexes)
        account = self._accounts.setdefault(cell.plan.node.id, StoreAccount(cell.plan.node.store_bytes))
        return rendered(running, work, device, lambda: self._budget(work, cell), account, self._indexes)

    def _budget(self, work: RenderWork, cell: StandingCell) -> StoreBudget:
        """Windows of a lease, shared with all that its node may have in flight.

        Raises:
            ResourceShortage: the object store of the node cannot hold even one such lease.
        """
        beside = sum(other.plan.node.id == cell.plan.node.id for other in self._census.cells.values())
        hops = min(cell.hops, 2 if work.specs or work.lease.bake_rotation else 1)
        leases = LEASES_IN_FLIGHT * max(1, beside)
        budget = lease_budget(work.index, work.lease, hops, cell.plan.node.store_bytes, leases)
        if hops:
            said = ("object store", budget.window, budget.leases, hops)
            self._say_once(said, Decision("object store", f"window {budget.window}", budget.arithmetic()))
        self._plan_encoding(work.lease.works[0].encode, cell)
        return budget

    def _plan_encoding(self, encode: EncodeSpec, cell: StandingCell) -> None:
        """Say what the processors of a cell can encode: GPUs for computing often have no encoder of their own."""
        milliseconds, cpus = encode_milliseconds(encode), max(1.0, cell.plan.cpus)
        size = f"{encode.width}x{encode.height}"
        decision = Decision(
            "encode capacity",
            f"about {1000 * cpus / milliseconds:.0f} frames/s a cell",
            f"{encode.encoder} at {size} takes about {milliseconds:.1f} ms a frame and processor, "
            f"a {cell.plan.kind} cell has {cpus:g}, which also decode",
        )
        self._say_once((encode.encoder, encode.options, size, cell.plan.kind, cpus), decision)

    def cancel(self, attempt: int) -> None:
        """End an attempt soon; its `Ended` carries kind Stopped."""
        self._soon(self._cancel, attempt)

    def _cancel(self, attempt: int) -> None:
        running = self._attempts.get(attempt)
        if running is not None:
            self._census.spawn(running.stop())

    def _drop(self, cell: StandingCell) -> None:
        for running in [running for running in self._attempts.values() if running.cell is cell]:
            running.drop()

    # --- calls outside cells --------------------------------------------------------------------

    def do(self, function: Callable[..., Any], *arguments: object, stopped: Callable[[], bool]) -> tuple[Any, str]:
        """(answer, worker) of `function(storage, scratch, *arguments)`; see `Fleet.do`."""
        if self._here is not None:
            return self._here.do(function, arguments), "driver"
        return self._await(self._side.do(function.__module__, function.__name__, arguments), stopped)

    def _await(self, work: Coroutine[Any, Any, T], stopped: Callable[[], bool] = lambda: False) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        while True:
            try:
                return future.result(timeout=_LOOK_SECONDS)
            except TimeoutError:
                if future.done():
                    raise
            if stopped() or self._closed:
                future.cancel()
                raise Stopped

    def facts(self) -> Sequence[WorkerFacts]:
        """What the workers used so far; none of those that do not answer."""
        return [] if self._closed else self._await(self._facts())

    async def _facts(self) -> list[WorkerFacts]:
        async def ask(worker: transport.Worker) -> WorkerFacts | None:
            with contextlib.suppress(ReelyardError, TimeoutError):
                answered: WorkerFacts = await asyncio.wait_for(
                    transport.answer(worker, "facts", group="ctl"), _FACTS_SECONDS
                )
                return answered
            return None

        workers = [worker for cell in self._census.cells.values() for worker in cell.workers]
        found = await asyncio.gather(*(ask(worker) for worker in (*workers, *self._side.workers)))
        return [facts for facts in found if facts is not None]

    def close(self) -> None:
        """Stop all work, end all workers; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        with contextlib.suppress(TimeoutError):
            closing.result(timeout=_CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=_CLOSE_SECONDS)

    async def _close(self) -> None:
        self._side.fail(Stopped())
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._census.close()
        self._side.close()
        self._indexes.close()
