"""The simulated run: a queue of events, the journey of each video, and the scheduler between them."""

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from cluster.scheduling.scheduler import Scheduler
from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.values import Attempt, Cancel, Cell, Decision, Failure, GiveUp, Start, Unit, Work
from cluster.simulation.cells import Doing, SimulatedCell
from cluster.simulation.journeys import Journeys
from cluster.simulation.values import Outcome, Setting, VideoLoad

#: From the order to end an attempt until its slot is free.
_CANCEL_SECONDS = 0.5
_USUAL = SchedulerSettings()


def simulate(loads: Sequence[VideoLoad], setting: Setting, settings: SchedulerSettings = _USUAL) -> Outcome:
    """The run of these videos on this cluster, to its end.

    Raises:
        RuntimeError: nothing can happen any more although videos are not finished (a fault of the scheduler).
    """
    return _Run(loads, setting, settings).outcome()


class _Run:
    def __init__(self, loads: Sequence[VideoLoad], setting: Setting, settings: SchedulerSettings) -> None:
        self._setting = setting
        self._scheduler = Scheduler(settings)
        self._chance = random.Random(setting.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self.now = 0.0
        self._journeys = Journeys(loads, setting.side_workers, self._scheduler, self)
        self._cells: dict[str, SimulatedCell] = {}
        self._doing: dict[int, Doing] = {}
        self._loaded: set[tuple[str, str]] = set()
        self._wake_at: float | None = None
        self._cell_seconds = 0.0
        self._idle: defaultdict[str, float] = defaultdict(float)
        self._idle_now: list[tuple[str, int]] = []
        self._tally: Counter[str] = Counter()
        self._ideal = _ideal_seconds(loads, setting)

    def outcome(self) -> Outcome:
        self._begin()
        while not self._journeys.finished:
            if not self._events:
                raise RuntimeError(f"at {self.now:.0f} s nothing can happen, {self._scheduler.queued()} units wait")
            at, _, happen = heapq.heappop(self._events)
            self._let_pass(at)
            happen()
            for decision in self._scheduler.decide(self.now):
                self._apply(decision)
            self._look_ahead()
        for cell in self._cells.values():
            self._cell_seconds += self.now - cell.up_at
        done_at = self._journeys.done_at
        return Outcome(
            makespan_seconds=self.now,
            ideal_seconds=self._ideal,
            videos_done=len(done_at),
            videos_failed=tuple(self._journeys.failed),
            cell_seconds=self._cell_seconds,
            idle_seconds=dict(self._idle),
            attempts=self._tally["attempts"],
            failures=self._tally["failures"],
            duplicates=self._tally["duplicates"],
            done_at=done_at,
        )

    # Time

    def after(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let something happen in so many seconds."""
        self._count += 1
        heapq.heappush(self._events, (self.now + seconds, self._count, happen))

    def _let_pass(self, at: float) -> None:
        for reason, cells in self._idle_now:
            self._idle[reason] += cells * (at - self.now)
        self.now = at

    def _look_ahead(self) -> None:
        """Note who is idle from now on, and come back when time alone may change an answer."""
        idle = self._scheduler.idle(self.now)
        whole = [why for name, (why, free) in idle.items() if free == self._cells[name].cell.slots]
        self._idle_now = list(Counter(whole).items()) if whole else []
        wake = self._scheduler.wake(self.now)
        if wake is not None and (self._wake_at is None or wake < self._wake_at):
            self._wake_at = wake
            self.after(max(0.0, wake - self.now), self._woken)

    def _woken(self) -> None:
        self._wake_at = None
        if not self._scheduler.queued():
            for doing in self._doing.values():
                self._tell_progress(doing)

    # Cells

    def _begin(self) -> None:
        for cell in self._setting.cells:
            self.after(self._setting.start_seconds, lambda cell=cell: self._up(cell))  # type: ignore[misc]
        for at in self._setting.faults.spot_losses:
            self.after(at, self._spot_loss)
        self._journeys.begin()

    def _up(self, cell: Cell) -> None:
        self._cells[cell.name] = SimulatedCell(cell, self._setting.slowness.get(cell.name, 1.0), self.now)
        self._scheduler.cell_up(cell, self.now)

    def _spot_loss(self) -> None:
        if not self._cells:
            return
        name = self._chance.choice(sorted(self._cells))
        notice = self._setting.faults.notice_seconds
        self._scheduler.cell_draining(name, self.now + notice, self.now)
        self.after(notice, lambda: self._down(name))

    def _down(self, name: str) -> None:
        cell = self._cells.pop(name, None)
        if cell is None:
            return
        self._cell_seconds += self.now - cell.up_at
        for number in cell.doing:
            del self._doing[number]
        cell.doing.clear()
        cell.version += 1
        self._scheduler.cell_down(name, self.now)
        replaced = self._setting.faults.replaced_after_seconds
        if replaced is not None:
            new = Cell(f"{name}'", f"{cell.cell.node}'", cell.cell.kind, cell.cell.slots, cell.cell.memory_bytes)
            self.after(replaced, lambda: self._up(new))

    # Attempts

    def _apply(self, decision: Decision) -> None:
        if isinstance(decision, Start):
            self._start(decision.attempt)
        elif isinstance(decision, Cancel):
            self.after(_CANCEL_SECONDS, lambda: self._cancelled(decision.attempt))
        elif isinstance(decision, GiveUp):
            self._journeys.give_up(decision.unit.video)

    def _start(self, attempt: Attempt) -> None:
        self._tally["attempts"] += 1
        self._tally["duplicates"] += attempt.duplicate_of is not None
        cell = self._cells[attempt.cell]
        cell.serve(self.now)
        doing = self._made(attempt, cell)
        cell.doing[attempt.number] = self._doing[attempt.number] = doing
        self._foresee(cell)

    def _made(self, attempt: Attempt, cell: SimulatedCell) -> Doing:
        costs, load = self._setting.costs, self._journeys.loads[attempt.video]
        recipe = load.video.recipe
        rate = costs.rate(recipe, attempt.work, "cpu" if attempt.on_cpu else cell.cell.kind) * cell.slowness
        stages: list[tuple[float, Unit | None]] = [
            (unit.megapixels * rate * self._luck(), unit) for unit in reversed(attempt.units)
        ]
        cold = (cell.cell.name, recipe) not in self._loaded
        self._loaded.add((cell.cell.name, recipe))
        start = costs.fixed_seconds + (costs.load_seconds if cold else 0.0)
        doing = Doing(attempt, cell, [*stages, (start, None)], start)
        if load.bad and attempt.units[0] == load.render[0]:
            doing.fails = 0.5 * stages[-1][0], Failure(load.bad, "render", attempt.cell, "made to fail")
        elif self._setting.faults.failure_share and self._chance.random() < self._setting.faults.failure_share:
            kind = self._chance.choice(("WorkerLost", "StorageError"))
            doing.fails = self._chance.random() * stages[-1][0], Failure(kind, "render", attempt.cell, "chance")
        return doing

    def _luck(self) -> float:
        noise = self._setting.costs.noise
        return self._chance.lognormvariate(-noise * noise / 2, noise) if noise else 1.0

    def _foresee(self, cell: SimulatedCell) -> None:
        found = cell.next_end()
        if found is not None:
            at, doing = found
            version = cell.version
            self.after(max(0.0, at - self.now), lambda: self._stage_end(cell, version, doing))

    def _stage_end(self, cell: SimulatedCell, version: int, doing: Doing) -> None:
        if version != cell.version:
            return
        cell.serve(self.now)
        _, unit = doing.stages.pop()
        number = doing.attempt.number
        if unit is None:
            self._scheduler.passed(number, 1, self.now)
            doing.left = doing.fails[0] if doing.fails else doing.stages[-1][0]
        elif doing.fails:
            self._tally["failures"] += 1
            self._end(doing, doing.fails[1])
        else:
            self._unit_done(doing, unit)
        self._foresee(cell)

    def _unit_done(self, doing: Doing, unit: Unit) -> None:
        number = doing.attempt.number
        doing.told = 0
        if self._scheduler.units_done(number, [unit], self.now):
            self._journeys.unit_done(unit)
        if doing.stages:
            doing.left = doing.stages[-1][0]
        else:
            self._end(doing, None)

    def _end(self, doing: Doing, failure: Failure | None) -> None:
        del doing.cell.doing[doing.attempt.number]
        del self._doing[doing.attempt.number]
        self._scheduler.ended(doing.attempt.number, failure, self.now)

    def _cancelled(self, number: int) -> None:
        doing = self._doing.get(number)
        if doing is not None:
            doing.cell.serve(self.now)
            self._end(doing, Failure("Stopped", "", doing.cell.cell.name, "told to end"))
            self._foresee(doing.cell)

    def _tell_progress(self, doing: Doing) -> None:
        """Frames of the unit it is in, as a watch that looks now and then would tell them."""
        seconds, unit = doing.stages[-1]
        if unit is None or doing.fails or seconds <= 0:
            return
        doing.cell.serve(self.now)
        frames = int(unit.frames * min(1.0, 1 - doing.left / seconds))
        if frames > doing.told:
            self._scheduler.passed(doing.attempt.number, frames - doing.told, self.now)
            doing.told = frames


def _ideal_seconds(loads: Sequence[VideoLoad], setting: Setting) -> float:
    """Every cell busy with nothing but pictures of good videos, all ending at once."""
    megapixels: defaultdict[tuple[str, Work], float] = defaultdict(float)
    for load in loads:
        for unit in (*load.scan, *load.render) if not load.bad else ():
            megapixels[load.video.recipe, unit.work] += unit.megapixels
    alone = {
        kind: sum(mp * setting.costs.rate(recipe, work, kind) for (recipe, work), mp in megapixels.items())
        for kind in {cell.kind for cell in setting.cells}
    }
    if not any(alone.values()):
        return 0.0
    return 1 / sum(1 / (alone[cell.kind] * setting.slowness.get(cell.name, 1.0)) for cell in setting.cells)
