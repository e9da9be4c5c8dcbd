"""Calls outside cells: which worker takes the next one, and what becomes of those that are lost."""

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cluster import transport
from cluster.fleet.nodes import NODE_ID_LABEL, Node
from cluster.fleet.plan import SIDE_CALLS, side_worker_count
from cluster.fleet.standing import await_answer, check_code
from cluster.messages import WorkerFacts
from cluster.retry import jittered, wait_before
from tasks.errors import ReelyardError, SegmentError, WorkerLost

log = logging.getLogger("reelyard")


@dataclass(eq=False)
class _Lane:
    """A worker that takes calls, so many at once."""

    worker: transport.Worker
    node: str
    free: int
    spare: bool
    "Of a cell: taken only while no worker outside cells stands."


class SideWork:
    """Workers outside cells, and the spare calls of cells where there are none; used in one event loop."""

    def __init__(self, storage_options: Mapping[str, str]) -> None:
        self._storage_options = dict(storage_options)
        self._numbers = itertools.count()
        self._lanes: list[_Lane] = []
        self._started: dict[str, list[transport.Worker]] = {}
        self._waiting: deque[asyncio.Future[_Lane]] = deque()
        self._failure: Exception | None = None

    @property
    def workers(self) -> list[transport.Worker]:
        """Of side nodes, standing or not."""
        return [worker for workers in self._started.values() for worker in workers]

    @property
    def nodes(self) -> set[str]:
        return set(self._started)

    async def open_node(self, node: Node) -> None:
        """Start workers on a node; each takes calls once it answers.

        Raises:
            ReelyardError: a worker did not start, or runs other code than the driver.
        """
        self._started[node.id] = [self._start(next(self._numbers), node) for _ in range(side_worker_count(node))]
        for worker in self._started[node.id]:
            check_code(await transport.answer(worker, "facts", group="ctl"))
            if node.id in self._started:
                self._open(_Lane(worker, node.id, SIDE_CALLS, spare=False))

    def _start(self, number: int, node: Node) -> transport.Worker:
        name = f"side-{number}"
        options = {"num_cpus": 1, "label_selector": {NODE_ID_LABEL: node.id}}
        arguments = {"name": name, "storage_options": self._storage_options}
        return transport.start_worker(
            "cluster.cell:CellWorker", "side", name, arguments, calls=SIDE_CALLS + 1, options=options
        )

    def open_spare(self, cell: str, worker: transport.Worker) -> None:
        """Take calls on the spare slot of a cell's worker."""
        self._open(_Lane(worker, cell, 1, spare=True))

    def close_node(self, name: str) -> None:
        """The node, or cell, is gone with its workers."""
        self._lanes = [lane for lane in self._lanes if lane.node != name]
        for worker in self._started.pop(name, ()):
            transport.kill(worker)

    def fail(self, failure: Exception) -> None:
        """No worker will come: whoever waits for one is told."""
        self._failure = failure
        while self._waiting:
            asked = self._waiting.popleft()
            if not asked.done():
                asked.set_exception(failure)

    def close(self) -> None:
        for node in list(self._started):
            self.close_node(node)

    async def do(self, module: str, name: str, arguments: tuple[object, ...]) -> tuple[Any, str]:
        """(answer, worker) of a function, tried again elsewhere where luck failed it."""
        failed = 0
        while True:
            lane = await self._take()
            try:
                answered = await self._call(lane, module, name, *arguments)
                return answered, lane.worker.name
            except ReelyardError as error:
                failed += 1
                kind = error.kind if isinstance(error, SegmentError) else type(error).__name__
                pause = wait_before(kind, failed)
                if pause is None:
                    raise
                log.warning("%s again: %s", name, error.message)
                await asyncio.sleep(jittered(pause, f"{name} {id(arguments)}"))

    async def _call(self, lane: _Lane, *what: object) -> Any:
        """The answer; the lane is free again when the worker is, even if the caller left before."""
        call = asyncio.create_task(transport.answer(lane.worker, "do", *what))
        call.add_done_callback(lambda done: self._after(lane, done))
        return await asyncio.shield(call)

    def _after(self, lane: _Lane, call: "asyncio.Task[Any]") -> None:
        """Free the lane of a call that is over; one whose worker was lost once the worker answers again."""
        if call.cancelled() or not isinstance(call.exception(), WorkerLost):
            self._give(lane)
            return
        mending = asyncio.ensure_future(await_answer(lane.worker))
        mending.add_done_callback(lambda mended: self._after_mending(lane, mended))

    def _after_mending(self, lane: _Lane, mending: "asyncio.Future[WorkerFacts]") -> None:
        if not mending.cancelled() and mending.exception() is None:
            self._give(lane)

    async def _take(self) -> _Lane:
        if self._failure is not None and not self._lanes:
            raise self._failure
        lane = self._best()
        if lane is None:
            asked: asyncio.Future[_Lane] = asyncio.get_running_loop().create_future()
            self._waiting.append(asked)
            try:
                return await asked
            except asyncio.CancelledError:
                if asked.done() and not asked.cancelled() and asked.exception() is None:
                    self._give(asked.result())
                raise
        lane.free -= 1
        return lane

    def _best(self) -> _Lane | None:
        """The freest lane; of a cell only where no other stands."""
        outside = [lane for lane in self._lanes if not lane.spare]
        free = [lane for lane in outside or self._lanes if lane.free > 0]
        return max(free, key=lambda lane: lane.free, default=None)

    def _open(self, lane: _Lane) -> None:
        self._failure = None
        self._lanes.append(lane)
        self._hand_out()

    def _give(self, lane: _Lane) -> None:
        lane.free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self._waiting and (lane := self._best()) is not None:
            asked = self._waiting.popleft()
            if not asked.done():
                lane.free -= 1
                asked.set_result(lane)
