"""A cell that stands on a cluster: its reserved place, its workers, how they are checked and mended."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from ray.util import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from cluster import transport
from cluster.budget import LEASES_IN_FLIGHT
from cluster.fleet.plan import CellPlan
from cluster.messages import FoundDevice, WorkerFacts
from cluster.packages import differences, own_code
from cluster.scheduling.values import Cell
from tasks.errors import JobError, ReelyardError, WorkerLost

log = logging.getLogger("reelyard")

#: Calls that a worker serves at once: each lease in flight, one that is just being stopped, one from outside.
CALLS = LEASES_IN_FLIGHT + 2
#: Losses of workers in a row, no result between them, after which a cell is given up.
DEATHS_IN_A_ROW = 3
_LOOK_SECONDS = 0.25


class StandingCell:
    """One cell; used in one event loop."""

    def __init__(self, number: int, plan: CellPlan, storage_options: Mapping[str, str], altering: bool) -> None:
        """Reserves and starts, without waiting; `altering`: some task or label draws, so a render worker is needed."""
        self.name = f"cell-{number}"
        self.plan = plan
        self.up = False
        self.device = "cpu"
        "What it computes on, once it is up."
        self.gone = False
        self.deaths = 0
        "Losses of a worker since its last result."
        self.leases: Counter[str] = Counter()
        "Attempts in flight, by the worker that is their root."
        self._group: Any = placement_group([plan.bundle], strategy="STRICT_PACK", bundle_label_selector=[plan.selector])
        self._mending: asyncio.Task[None] | None = None

        def start(stage: str, target: str, cpus: float, gpus: float = 0.0) -> transport.Worker:
            name = f"{stage}-{number}"
            options = {
                "num_cpus": cpus,
                "num_gpus": gpus,
                "scheduling_strategy": PlacementGroupSchedulingStrategy(self._group),
            }
            arguments = {"name": name, "storage_options": dict(storage_options), "gpu_share": gpus or 1.0}
            return transport.start_worker(target, stage, name, arguments, calls=CALLS, options=options)

        half = plan.cpus / 2
        if plan.fused:
            self.decode = self.encode = start("fused", "cluster.fused:FusedWorker", plan.cpus, plan.gpus)
            self.render = self.encode if altering else None
        else:
            self.decode = start("decode", "cluster.cell:DecodeWorker", half)
            self.encode = start("encode", "cluster.cell:EncodeWorker", half)
            self.render = start("render", "cluster.cell:RenderWorker", 0, plan.gpus) if altering else None

    @property
    def workers(self) -> tuple[transport.Worker, ...]:
        """All of them; of a fused cell the one."""
        if self.plan.fused:
            return (self.encode,)
        return (self.decode, *((self.render,) if self.render else ()), self.encode)

    @property
    def hops(self) -> int:
        """Between processes, for a lease that is drawn upon."""
        return 0 if self.plan.fused else 2

    def is_placed(self) -> bool:
        """True once a node has room for it; blocks for a moment."""
        return bool(self._group.wait(timeout_seconds=1))

    def cell(self, found: FoundDevice) -> Cell:
        """The cell as the scheduler sees it."""
        return Cell(self.name, self.plan.node.name, self.plan.kind, LEASES_IN_FLIGHT, found.memory_bytes)

    async def stand(self, asked: str, answered: Callable[[transport.Worker], None]) -> FoundDevice:
        """What the cell computes on, once every worker answers; each is told to `answered` as it does.

        Raises:
            JobError: a worker runs other code than the driver, or did not start.
        """

        async def check(worker: transport.Worker) -> None:
            check_code(await transport.answer(worker, "facts", group="ctl"))
            answered(worker)

        await asyncio.gather(*(check(worker) for worker in self.workers))
        if self.render is None:
            return FoundDevice("cpu", "no task draws: nothing is computed on a device", 0)
        found: FoundDevice = await transport.answer(self.render, "find_device", asked)
        return found

    async def whole(self) -> None:
        """Returns once lost workers answer again; at once where none was lost.

        Raises:
            WorkerLost: one gave no answer for `transport.RESTART_SECONDS`.
        """
        if self._mending is not None:
            await asyncio.shield(self._mending)

    def mend(self) -> None:
        """Note that a worker was lost; losses that are noted while one is mended count as one with it."""
        if self._mending is None or self._mending.done():
            self.deaths += 1
            self._mending = asyncio.create_task(self._await_workers())
            self._mending.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _await_workers(self) -> None:
        for worker in self.workers:
            await await_answer(worker)

    def restart(self) -> None:
        """End all workers so that Ray starts them anew: one of them hangs."""
        for worker in self.workers:
            transport.kill(worker, restart=True)

    def stop(self, attempt: int) -> None:
        """Make every stage of an attempt end at its next batch."""
        for worker in self.workers:
            with contextlib.suppress(Exception):  # Gone with its node or with Ray.
                transport.notify(worker, "stop", attempt)

    def scan_worker(self, computes: str) -> transport.Worker:
        """Who measures next: on a GPU the render worker, else whichever is least busy, torch's home first."""
        if self.render is None:
            return min((self.decode, self.encode), key=lambda worker: self.leases[worker.name])
        if computes != "cpu":
            return self.render
        return min((self.render, self.decode, self.encode), key=lambda worker: self.leases[worker.name])

    async def end(self) -> None:
        """Let the encode worker remove its scratch, then end all workers and give the place back."""
        self.gone = True
        if self.up:
            with contextlib.suppress(ReelyardError, asyncio.TimeoutError):
                await asyncio.wait_for(transport.answer(self.encode, "end", group="ctl"), timeout=3.0)
        self.abandon()

    def abandon(self) -> None:
        """End the workers and give the place back, without a word to them."""
        self.gone = True
        if self._mending is not None:
            self._mending.cancel()
        for worker in self.workers:
            transport.kill(worker)
        with contextlib.suppress(Exception):  # Ray is gone, and the place with it.
            remove_placement_group(self._group)


async def await_answer(worker: transport.Worker) -> WorkerFacts:
    """What the worker says of itself, once it answers, started anew where it had to be.

    Raises:
        WorkerLost: it gave no answer for `transport.RESTART_SECONDS`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + transport.RESTART_SECONDS
    while (left := deadline - loop.time()) > 0:
        try:
            facts: WorkerFacts = await asyncio.wait_for(transport.answer(worker, "facts", group="ctl"), left)
            return facts
        except WorkerLost:
            await asyncio.sleep(_LOOK_SECONDS)
        except TimeoutError:
            break
    raise WorkerLost(f"{worker.stage} worker {worker.name} gave no sign for {transport.RESTART_SECONDS:.0f} s")


def check_code(facts: WorkerFacts) -> None:
    """The worker runs the driver's own code and versions.

    Raises:
        JobError: it does not, with what differs.
    """
    differing = differences(own_code(), facts.code)
    if differing:
        raise JobError(
            f"worker {facts.name} runs {', '.join(differing)}; "
            "install on every node what the driver has, or use one image for both"
        )
