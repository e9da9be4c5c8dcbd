"""A run with no machine: a scheduler whose attempts do what a test says, and every rule watched on the way."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from cluster.scheduling.scheduler import Scheduler
from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.values import Attempt, Cancel, Cell, Decision, Failure, GiveUp, Start, Unit, Video, Work


def units_of(video: str, count: int, work: Work = "render", megapixels: float = 100.0) -> list[Unit]:
    return [Unit(video, work, number, 250, megapixels) for number in range(count)]


def failure(kind: str, worker: str = "w") -> Failure:
    return Failure(kind, "render", worker, f"{kind} happened")


@dataclass
class Live:
    """An attempt that was started and has not ended."""

    attempt: Attempt
    left: list[Unit]
    cancelled: bool = False


@dataclass
class Driven:
    """Tells a scheduler what happens, and checks what it decides against what it was told."""

    settings: SchedulerSettings = field(default_factory=SchedulerSettings)
    now: float = 0.0
    cells: dict[str, Cell] = field(default_factory=dict)
    deadlines: dict[str, float] = field(default_factory=dict)
    live: dict[int, Live] = field(default_factory=dict)
    wanted: set[Unit] = field(default_factory=set)
    together: set[Unit] = field(default_factory=set)
    done: set[Unit] = field(default_factory=set)
    given_up: dict[Unit, GiveUp] = field(default_factory=dict)
    starts: Counter[Unit] = field(default_factory=Counter)
    causes: Counter[Unit] = field(default_factory=Counter)
    "Reasons to start a unit once more."
    decisions: list[Decision] = field(default_factory=list)
    order: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(self.settings)

    # What a test makes happen

    def up(self, name: str, slots: int = 2, kind: str = "l4", memory_bytes: int = 0) -> None:
        self.cells[name] = Cell(name, f"node-{name}", kind, slots, memory_bytes)
        self.scheduler.cell_up(self.cells[name], self.now)

    def drain(self, name: str, seconds: float) -> None:
        self.deadlines[name] = self.now + seconds
        self.scheduler.cell_draining(name, self.now + seconds, self.now)

    def down(self, name: str) -> None:
        for number in [n for n, live in self.live.items() if live.attempt.cell == name]:
            self.causes.update(self.live.pop(number).left)
        del self.cells[name]
        self.deadlines.pop(name, None)
        self.scheduler.cell_down(name, self.now)

    def add(self, video: Video, units: Sequence[Unit], together: bool = False, later: float = 0.0) -> None:
        self.wanted.update(units)
        if together:
            self.together.update(units)
        self.scheduler.add(video, units, self.now, together=together, later_megapixels=later)

    def withdraw(self, video: str) -> None:
        self.wanted = {unit for unit in self.wanted if unit.video != video}
        self.scheduler.withdraw(video, self.now)

    def finish(self, number: int, frames: bool = True) -> bool:
        """The unit that an attempt is on is done; the attempt ends with its last."""
        live = self.live[number]
        unit = live.left.pop(0)
        if frames:
            self.scheduler.passed(number, unit.frames, self.now)
        first = bool(self.scheduler.units_done(number, [unit], self.now))
        if first:
            assert unit not in self.done, f"{unit} counted twice"
            self.done.add(unit)
        if not live.left:
            del self.live[number]
            self.scheduler.ended(number, None, self.now)
        return first

    def fail(self, number: int, kind: str) -> None:
        live = self.live.pop(number)
        self.causes.update(live.left)
        self.scheduler.ended(number, failure(kind, live.attempt.cell), self.now)

    def decide(self) -> list[Decision]:
        decisions = self.scheduler.decide(self.now)
        self.decisions += decisions
        for decision in decisions:
            if isinstance(decision, Start):
                self._started(decision.attempt)
            elif isinstance(decision, Cancel):
                self._cancelled(decision)
            else:
                self.given_up[decision.unit] = decision
        return decisions

    def end_cancelled(self) -> None:
        """Attempts that were told to end do so."""
        for number in [n for n, live in self.live.items() if live.cancelled]:
            del self.live[number]
            self.scheduler.ended(number, failure("Stopped"), self.now)

    # The rules

    def _started(self, attempt: Attempt) -> None:
        cell = self.cells[attempt.cell]
        on_it = [live for live in self.live.values() if live.attempt.cell == attempt.cell]
        assert len(on_it) < cell.slots, "more attempts than slots"
        assert self.now < self.deadlines.get(attempt.cell, float("inf")), "started on a cell whose node is gone"
        assert len({(unit.video, unit.work) for unit in attempt.units}) == 1
        if not set(attempt.units) & self.together:
            numbers = [unit.number for unit in attempt.units]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        for unit in attempt.units:
            assert unit in self.wanted
            assert unit not in self.done, "started although it was done"
            holding = [live for live in self.live.values() if not live.cancelled and unit in live.left]
            assert len(holding) <= 1, "held three times"
            assert not holding or attempt.duplicate_of == holding[0].attempt.number
            assert not holding or unit not in self.together
            self.starts[unit] += 1
            self.causes[unit] += bool(holding)
        self.order.append(attempt)
        self.live[attempt.number] = Live(attempt, list(attempt.units))

    def _cancelled(self, decision: Cancel) -> None:
        live = self.live[decision.attempt]
        assert not live.cancelled, "cancelled twice"
        live.cancelled = True
        self.causes.update(live.left)

    @property
    def failed_videos(self) -> set[str]:
        return {unit.video for unit in self.given_up}

    @property
    def open(self) -> set[Unit]:
        """Wanted, not done, and not of a video that was given up."""
        return {unit for unit in self.wanted - self.done if unit.video not in self.failed_videos}

    def run_out(self, seconds: float = 1.0, most: int = 100_000) -> None:
        """Every attempt does its work, one unit a turn, until nothing is left."""
        for _ in range(most):
            self.decide()
            self.end_cancelled()
            if not self.open:
                break
            self.now += seconds
            for number in list(self.live):
                self.finish(number)
            if not self.live:
                wake = self.scheduler.wake(self.now)
                self.now = max(self.now, wake) if wake is not None else self.now
        assert not self.open, f"never done: {sorted(u.video + str(u.number) for u in self.open)[:5]}"
        for unit, starts in self.starts.items():
            assert starts <= 1 + self.causes[unit], f"{unit} was started {starts} times without cause"
