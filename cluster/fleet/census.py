"""Which cells and side workers stand, as nodes come and go; used in one event loop, knows nothing of attempts."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from ray.util import placement_group, remove_placement_group

from cluster.connection import Connection
from cluster.fleet.nodes import Node, alive_nodes, free_resources
from cluster.fleet.plan import (
    PLACEMENT_SECONDS,
    CellPlan,
    Place,
    place_beside_cells,
    place_of_cell,
    plan_cells,
    sharing,
    shortage,
    side_nodes,
    wants_gpu,
)
from cluster.fleet.side import SideWork
from cluster.fleet.standing import DEATHS_IN_A_ROW, StandingCell
from cluster.fleet.values import CellDown, CellDrains, CellUp, Shortage, Told
from cluster.messages import FoundDevice
from cluster.scheduling.costs import speed_of
from cluster.transport import Worker
from pipeline.pool import Decision
from tasks.errors import ReelyardError, WorkerLost
from tasks.runtime.choice import ANY_PROCESSOR, Machine, in_common

log = logging.getLogger("reelyard")

#: How often Ray is asked for its nodes.
_WATCH_SECONDS = 5.0
#: A Ray on this machine alone has room at once or never.
_LOCAL_PLACEMENT_SECONDS = 30.0
#: How long workers that have a place may take to answer: a slow disk imports for minutes.
_START_SECONDS = 300.0
#: Places asked for at once where there is work for more cells than stand.
_MOST_ASKED = 32
#: How long a GPU that does not compute waits for the others' answers before the run is settled on the CPU.
_OTHERS_SECONDS = 30.0
#: Why a cluster at zero renders on processors, and the remedy.
NO_GPU_NOW = "no node of this cluster has one now; --device cuda has an autoscaler start nodes that do"


class Census:
    """Cells of the run, and what they compute on."""

    def __init__(
        self,
        connection: Connection,
        storage_options: Mapping[str, str],
        device: str,
        altering: bool,
        side: SideWork,
        tell: Callable[[Told], None],
        decide: Callable[[Decision], None],
        drop: Callable[[StandingCell], None],
        first_cells: int | None,
        gpus_per_cell: float = 1.0,
    ) -> None:
        """`drop` ends the attempts of a cell that is gone, without a word.

        `first_cells`: so many are started at first, more as they are wanted; all at once where not given.
        """
        self._most = first_cells
        self._gpus_per_cell = gpus_per_cell
        self._spare: list[CellPlan] = []
        "Places that no cell was started on yet, the fastest first."
        self._storage_options, self._device, self._altering = dict(storage_options), device, altering
        self._side, self._tell, self._decide, self._drop = side, tell, decide, drop
        self._grows = not connection.local
        self._patience = _LOCAL_PLACEMENT_SECONDS if connection.local else PLACEMENT_SECONDS
        self._numbers = itertools.count()
        self._renewed: set[str] = set()
        "Cells that are the second of their place."
        self._nodes: dict[str, Node] = {}
        "Nodes that were given cells or found to hold none."
        self._draining: set[str] = set()
        self._gpu = False
        self._unanswered: set[str] = set()
        "Cells started before the run was settled that have not said what they compute on."
        self._answers: list[tuple[StandingCell, FoundDevice]] = []
        self._wanted = 0
        self._demand: list[Any] = []
        "Places asked for anywhere."
        self._side_demand: list[Any] = []
        "The place for workers outside cells, while no node has any and cells hold the GPU nodes."
        self._bare_since: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.cells: dict[str, StandingCell] = {}
        self.settled: Future[str] = Future()
        "The device class of all cells, or why there is none."
        self.machine = ANY_PROCESSOR
        "What they all choose their precision by, once that is settled."

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def begin(self, nodes: Sequence[Node]) -> None:
        """Cells for the nodes as they are, and a watch over them."""
        if not self._altering:
            self._decide(Decision("device", "cpu", "no task draws: nothing is computed on a device"))
            self.settled.set_result("cpu-fp32")
        elif self._grows and self._device == "auto" and not any(node.gpus for node in nodes):
            self._decide(Decision("GPU", "none is asked for", NO_GPU_NOW))
        self._bare_since = asyncio.get_running_loop().time()
        self.look(nodes)
        if self._gpus_per_cell < 1:
            self._decide(sharing(self._gpus_per_cell, self._gpu))
        self.spawn(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                nodes = await asyncio.to_thread(alive_nodes)
                self.look(nodes)
                await self._complain_if_bare(nodes)
            except Exception:
                log.warning("the cluster's nodes cannot be asked for; asking again", exc_info=True)

    def look(self, nodes: Sequence[Node]) -> None:
        """Take in the nodes as they are now."""
        alive = {node.id: node for node in nodes}
        for cell in [cell for cell in self.cells.values() if cell.plan.node.id not in alive]:
            self.down(cell, f"its node {cell.plan.node.name} is gone")
        for node_id in [node_id for node_id in self._side.nodes if node_id not in alive]:
            self._side.close_node(node_id)
        self._note_draining(nodes)
        self._nodes = {node_id: node for node_id, node in self._nodes.items() if node_id in alive}
        if not self._nodes:
            self._gpu = wants_gpu(nodes, self._device, self._altering)
        for node in nodes:
            if node.id not in self._nodes and (plans := plan_cells(node, self._gpu, self._gpus_per_cell)):
                self._nodes[node.id] = node
                self._drop_demand()
                self._spare = sorted([*self._spare, *plans], key=lambda plan: -speed_of(plan.kind))
        staying = {node.id for node in nodes if node.leaves_in_seconds is None}
        self._spare = [plan for plan in self._spare if plan.node.id in staying]
        self._open_wanted()
        beside = side_nodes(nodes, list(self._nodes))
        self._ask(self._side_demand, 1 if self._grows and self._gpu and not beside else 0, place_beside_cells())
        for node in beside:
            if node.id not in self._side.nodes:
                self.spawn(self._open_side(node))
        self._show_demand()

    def _note_draining(self, nodes: Sequence[Node]) -> None:
        leaving = {node.id: node.leaves_in_seconds for node in nodes if node.leaves_in_seconds is not None}
        for cell in self.cells.values():
            seconds = leaving.get(cell.plan.node.id)
            if seconds is not None and cell.up and cell.name not in self._draining:
                self._draining.add(cell.name)
                self._tell(CellDrains(cell.name, seconds))

    def want(self, cells: int) -> None:
        """There is work for so many cells in all: an autoscaler is shown what is missing."""
        self._wanted = cells
        if self._most is not None:
            self._most = max(self._most, cells)
            self._open_wanted()
        self._show_demand()

    def _open_wanted(self) -> None:
        while self._spare and (self._most is None or len(self.cells) < max(1, self._most)):
            self.start_cell(self._spare.pop(0))

    def _show_demand(self) -> None:
        """Places that nobody has are asked for anywhere; Ray's autoscaler starts nodes for them."""
        standing = len(self.cells) + len(self._spare)
        missing = max(0 if self._nodes else 1, min(self._wanted - standing, _MOST_ASKED)) if self._grows else 0
        self._ask(self._demand, missing, place_of_cell(self._gpu, self._gpus_per_cell))

    def _ask(self, asked: list[Any], count: int, place: Place) -> None:
        """So many places are asked for, of which `asked` are the ones so far."""
        while len(asked) > count:
            remove_placement_group(asked.pop())
        bundles, selectors = [dict(place.bundle)], [dict(place.selector)]
        for _ in range(count - len(asked)):
            asked.append(placement_group(bundles, strategy="STRICT_PACK", bundle_label_selector=selectors))

    def _drop_demand(self) -> None:
        """All places for cells, since one may hold the place on a new node that its cell is to have."""
        self._ask(self._demand, 0, place_of_cell(self._gpu, self._gpus_per_cell))

    async def _open_side(self, node: Node) -> None:
        try:
            await self._side.open_node(node)
        except ReelyardError as error:
            self._decide(Decision("side workers", f"none on {node.name}", error.message))

    def start_cell(self, plan: CellPlan) -> StandingCell:
        cell = StandingCell(next(self._numbers), plan, self._storage_options, self._altering)
        self.cells[cell.name] = cell
        if not self.settled.done():
            self._unanswered.add(cell.name)
        self.spawn(self._stand(cell))
        return cell

    async def _stand(self, cell: StandingCell) -> None:
        def answered(worker: Worker) -> None:
            if (worker is not cell.render or cell.plan.fused) and not cell.gone:
                self._side.open_spare(cell.name, worker)

        try:
            found = await cell.stand(self._device, answered)
        except ReelyardError as error:
            self._unanswered.discard(cell.name)
            if not cell.gone:
                self._leave_out(cell, error.message)
                if not self.cells:
                    self._fail(error)
        else:
            self._unanswered.discard(cell.name)
            if not cell.gone:
                self._take_in(cell, found)
        self._settle(patient=True)

    def _take_in(self, cell: StandingCell, found: FoundDevice) -> None:
        """The cell is up if it computes on what the others do; until that is known it waits."""
        if self.settled.done() and self.settled.exception() is not None:
            self.settled = Future()  # A cell that came late: whoever asks from now on has it.
        if not self.settled.done():
            if not self._answers:
                self.spawn(self._settle_later())
            self._answers.append((cell, found))
        elif found.device_class == self.settled.result():
            cell.device, cell.up, self._bare_since = found.device, True, None
            self._tell_precision(cell, found.machine)
            self._tell(CellUp(cell.cell(found)))
        else:
            others = self.settled.result().partition("-")[0]
            reason = f"it computes on {found.device} ({found.reason}), the run on {others}"
            self._leave_out(cell, reason)

    def _tell_precision(self, cell: StandingCell, machine: Machine) -> None:
        """A cell that offers other precisions than those the run chooses from draws at the run's all the same."""
        missing = [one for one in self.machine.half if one not in machine.half]
        unused = [one for one in machine.half if one not in self.machine.half]
        if missing:
            reason = f"the run may draw at it, and an output has one precision; {machine.name} has no such arithmetic"
            self._decide(Decision("precision", f"{cell.name} rounds to {' and '.join(missing)} in software", reason))
        if unused:
            reason = "an output has one precision, and not every node has that arithmetic; precision=… asks for it"
            self._decide(Decision("precision", f"{cell.name} leaves out {' and '.join(unused)}", reason))

    async def _settle_later(self) -> None:
        await asyncio.sleep(_OTHERS_SECONDS)
        self._settle(patient=False)

    def _settle(self, *, patient: bool) -> None:
        """Decide what the run computes on: a GPU where one does, the CPU once every cell has said so."""
        if self.settled.done():
            return
        best = max(self._answers, key=lambda answer: answer[1].device != "cpu", default=None)
        if best is None or (best[1].device == "cpu" and self._gpu and self._unanswered and patient):
            return
        self._decide(Decision("device", best[1].device, best[1].reason))
        like = [found.machine for _, found in self._answers if found.device_class == best[1].device_class]
        self.machine = in_common([best[1].machine, *like])
        self.settled.set_result(best[1].device_class)
        for cell, found in self._answers:
            if not cell.gone:
                self._take_in(cell, found)

    def _leave_out(self, cell: StandingCell, reason: str) -> None:
        self._decide(Decision("cell", f"{cell.name} on {cell.plan.node.name} left out", reason))
        self.down(cell, reason)

    def _fail(self, error: ReelyardError) -> None:
        if not self.settled.done():
            self.settled.set_exception(error)
        self._side.fail(error)
        self._tell(Shortage(error.message))

    async def _complain_if_bare(self, nodes: Sequence[Node]) -> None:
        """Nothing stands for as long as a place may take: said once, with what was needed and what is there."""
        now = asyncio.get_running_loop().time()
        if any(cell.up for cell in self.cells.values()) or (self._answers and not self.settled.done()):
            return
        if self._bare_since is None:
            self._bare_since = now
        waited = now - self._bare_since
        if waited <= self._patience:
            return
        placed = [cell for cell in list(self.cells.values()) if await asyncio.to_thread(cell.is_placed)]
        if not placed:
            free = await asyncio.to_thread(free_resources)
            gpus = self._gpus_per_cell if self._gpu else 0.0
            self._fail(shortage(nodes, free, gpus=gpus, device=self._device, waited_seconds=waited))
        elif waited > self._patience + _START_SECONDS:
            names = ", ".join(worker.name for worker in placed[0].workers)
            self._fail(
                WorkerLost(
                    f"workers {names} have a place but do not answer for {waited:.0f} s; `reelyard doctor` "
                    "looks for the cause on a machine, `ray status` on a cluster"
                )
            )
        else:
            return
        self._bare_since = float("inf")

    def lost(self, cell: StandingCell) -> None:
        """A worker of the cell went away: it is used again once its workers answer, and given up if that goes on."""
        if not cell.gone:
            cell.mend()
            self.spawn(self._look_after(cell))

    async def _look_after(self, cell: StandingCell) -> None:
        try:
            if cell.deaths >= DEATHS_IN_A_ROW:
                raise WorkerLost(f"its workers were lost {cell.deaths} times in a row")
            await cell.whole()
        except WorkerLost as error:
            if not cell.gone:
                self._renew(cell, error.message)

    def _renew(self, cell: StandingCell, reason: str) -> None:
        """The cell ends; one more is started in its place, once."""
        self.down(cell, reason)
        if cell.name in self._renewed:
            self._decide(Decision("cell", f"{cell.plan.node.name}: one cell fewer", f"again {reason}"))
            return
        successor = self.start_cell(cell.plan)
        self._renewed.add(successor.name)
        self._decide(Decision("cell", f"{cell.name} started anew as {successor.name}", reason))

    def down(self, cell: StandingCell, reason: str) -> None:
        """The cell is gone, its attempts with it."""
        if self.cells.pop(cell.name, None) is None:
            return
        was_up, cell.gone = cell.up, True
        self._unanswered.discard(cell.name)
        self._side.close_node(cell.name)
        self._drop(cell)
        cell.abandon()
        if was_up:
            self._tell(CellDown(cell.name, reason))

    async def close(self) -> None:
        """End every cell."""
        await asyncio.gather(*(cell.end() for cell in self.cells.values()))
        self.cells.clear()
        self._drop_demand()
        self._ask(self._side_demand, 0, place_beside_cells())
