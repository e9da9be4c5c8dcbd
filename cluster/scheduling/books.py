"""What runs where and what waits: the state that decisions change, and the only code that changes it."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence

from cluster.scheduling.costs import CostModel
from cluster.scheduling.order import Level, Order
from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.state import Bundle, CellState, Running, VideoState, key_of
from cluster.scheduling.values import Attempt, Cancel, Cell, Decision, Start, Unit, Video


class Books:
    """Cells, videos and attempts; `told` collects what the caller has to do."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self.settings = settings
        self.costs = CostModel(settings)
        self.cells: dict[str, CellState] = {}
        self.free: dict[str, CellState] = {}
        "Those with a free slot whose time is not up."
        self.slots = 0
        self.kinds: Counter[str] = Counter()
        self.videos: dict[str, VideoState] = {}
        self.order = Order()
        self.running: dict[int, Running] = {}
        self.waiting: list[tuple[float, int, VideoState, Bundle]] = []
        "A heap, by when they are tried again."
        self.told: list[Decision] = []
        self.later = 0.0
        "Megapixels that were announced."
        self._number = 0
        self._attempts = 0

    def number(self) -> int:
        """Of a cell, a video or a wait: in the order in which they came."""
        self._number += 1
        return self._number

    def level(self, state: VideoState) -> Level:
        return self.order.level(state.video.priority)

    def weighed(self, units: Iterable[Unit]) -> float:
        """Megapixels, those of scans by their share."""
        share = self.settings.scan_share
        return sum([unit.megapixels * share if unit.work == "scan" else unit.megapixels for unit in units])

    # Cells

    def open_cell(self, cell: Cell) -> None:
        self.close_cell(cell.name)
        state = self.cells[cell.name] = CellState(cell, self.number())
        self.slots += cell.slots
        self.kinds[cell.kind] += 1
        self.note_free(state)

    def close_cell(self, name: str) -> CellState | None:
        cell = self.cells.pop(name, None)
        self.free.pop(name, None)
        if cell is not None:
            self.slots -= cell.cell.slots
            self.kinds[cell.cell.kind] -= 1
            self.kinds += Counter()  # Kinds of which none is left are dropped.
        return cell

    def note_free(self, cell: CellState) -> None:
        """After its slots or its time changed."""
        name = cell.cell.name
        if self.cells.get(name) is cell and cell.free > 0:
            self.free[name] = cell
        else:
            self.free.pop(name, None)

    def cells_up(self) -> int:
        return sum(cell.deadline is None for cell in self.cells.values())

    # Units

    def video(self, video: Video) -> VideoState:
        state = self.videos.get(video.name)
        if state is None:
            state = self.videos[video.name] = VideoState(video, self.number())
        return state

    def announce(self, state: VideoState, later_megapixels: float) -> None:
        """Work of a video that will come, in place of what was announced before."""
        self.later += later_megapixels - state.later
        state.remaining += later_megapixels - state.later
        state.later = later_megapixels

    def ready(self, state: VideoState, bundles: Sequence[Bundle]) -> None:
        """Units may be leased, by any cell."""
        state.remaining += sum(map(self.weighed, bundles))
        if bundles or state.ready:
            self.level(state).put(state, bundles)

    def put_back(self, state: VideoState, bundle: Bundle) -> None:
        """Units may be leased again, by the cells that suit their past."""
        past = state.records.get(key_of(bundle[0]))
        if past is None or not past.marks:
            self.ready(state, [bundle])
            return
        state.remaining += self.weighed(bundle)
        self.level(state).mark(state, bundle)

    def wait(self, until: float, state: VideoState, bundle: Bundle) -> None:
        heapq.heappush(self.waiting, (until, self.number(), state, bundle))

    def end_waits(self, now: float) -> None:
        """What has waited long enough is ready."""
        while self.waiting and self.waiting[0][0] <= now:
            _, _, state, bundle = heapq.heappop(self.waiting)
            self.put_back(state, bundle)

    # Attempts

    def start(
        self,
        cell: CellState,
        state: VideoState,
        units: Bundle,
        now: float,
        *,
        on_cpu: bool = False,
        duplicate_of: int | None = None,
    ) -> None:
        """Lease units to a cell."""
        self._attempts += 1
        attempt = Attempt(self._attempts, cell.cell.name, units, duplicate_of, on_cpu)
        recipe, served = state.video.recipe, cell.served(now)
        rate = self.costs.rate(recipe, attempt.work, "cpu" if on_cpu else cell.cell.kind)
        running = Running(
            attempt=attempt,
            video=state,
            cell=cell,
            started=now,
            served=served,
            cold=not cell.warm.get(recipe, False),
            predicted=rate * sum(unit.megapixels for unit in units),
            weight=max(state.video.weight, 1e-6),
            unit_started=now,
            unit_served=served,
        )
        cell.begin(running, self.settings.warm_recipes)
        self.note_free(cell)
        self.running[attempt.number] = running
        for unit in units:
            state.holders.setdefault(key_of(unit), []).append(running)
        state.nodes.add(cell.cell.node)
        self.level(state).charge(state.video.job, running.predicted / running.weight, 1)
        self.told.append(Start(attempt))

    def leave(self, running: Running, now: float) -> None:
        """An attempt is over: off its cell, and its job charged for what it really took."""
        cell, state = running.cell, running.video
        had = cell.served(now) - running.served
        del cell.running[running.attempt.number]
        del self.running[running.attempt.number]
        self.note_free(cell)
        self.level(state).charge(state.video.job, (had - running.predicted) / running.weight, -1)
        self._release(running)

    def cancel(self, running: Running, reason: str) -> None:
        """An attempt shall end; it holds its slot until it has."""
        if not running.cancelled:
            running.cancelled = True
            self._release(running)
            self.told.append(Cancel(running.attempt.number, reason))

    def _release(self, running: Running) -> None:
        holders = running.video.holders
        for key in map(key_of, running.attempt.units):
            held = holders.get(key)
            if held and running in held:
                held.remove(running)
                if not held:
                    del holders[key]

    def close_video(self, state: VideoState, reason: str) -> None:
        """Nothing more is done for a video."""
        state.closed = True
        self.announce(state, 0.0)
        self.level(state).drop(state)
        if any(entry[2] is state for entry in self.waiting):
            self.waiting = [entry for entry in self.waiting if entry[2] is not state]
            heapq.heapify(self.waiting)
        holders = {running.attempt.number: running for held in state.holders.values() for running in held}
        for number in sorted(holders):
            self.cancel(holders[number], reason)
