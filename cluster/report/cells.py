"""The cells of a run: when they were up, what they worked on, and the time their slots stood free."""

from collections import defaultdict
from dataclasses import dataclass, field

from cluster.events import CellDraining, CellStarted, CellStopped, LeaseBegan, LeaseEnded, SlotsIdle
from cluster.report.bins import Bins
from cluster.report.lanes import Key, Lanes, Span


@dataclass(slots=True)
class Life:
    """One stretch in which a cell was up; seconds from the start of the run."""

    start: float
    end: float | None = None
    draining: float | None = None
    "When its node was told to go."
    reason: str = ""
    "Why it ended."


@dataclass(slots=True)
class CellState:
    """One cell, through all its lives."""

    name: str
    node: str
    kind: str
    slots: int
    lives: list[Life] = field(default_factory=list)
    busy_slots: set[int] = field(default_factory=set)
    video: str = ""
    "Of the latest lease."
    leases: int = 0
    failed_leases: int = 0
    frames: int = 0
    leased_seconds: float = 0.0
    "Slot-seconds with a lease, of leases that ended."
    idle: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    "Slot-seconds by reason."

    @property
    def up(self) -> bool:
        return bool(self.lives) and self.lives[-1].end is None

    @property
    def status(self) -> str:
        if not self.up:
            return "gone"
        if self.lives[-1].draining is not None:
            return "draining"
        return "working" if self.busy_slots else "free"

    def up_seconds(self, now: float) -> float:
        return sum((now if life.end is None else life.end) - life.start for life in self.lives)


@dataclass(frozen=True, slots=True)
class OpenLease:
    """A lease in flight, and the slot that it was drawn in."""

    began: LeaseBegan
    slot: int


class Cells:
    """All cells by name, the leases in flight, and the use of slots over time."""

    def __init__(self) -> None:
        self.by_name: dict[str, CellState] = {}
        self.open: dict[int, OpenLease] = {}
        self.lanes = Lanes()
        self.idle: defaultdict[str, float] = defaultdict(float)
        "Slot-seconds by reason."
        self.leased_curve, self.offered_curve = Bins(), Bins()
        self.leased_seconds, self.offered_seconds = 0.0, 0.0
        "Slot-seconds with a lease, and of cells that are up."
        self.at_work_seconds, self.up_seconds = 0.0, 0.0
        "Of cells with a lease at least, and of cells; summed over cells."
        self.now = 0.0
        self.slots, self.up, self.at_work = 0, 0, 0
        "As of now."

    @property
    def busy_share(self) -> float:
        """Of the time that cells were up, the part in which they had a lease; 0 without cells."""
        return self.at_work_seconds / self.up_seconds if self.up_seconds else 0.0

    @property
    def slot_share(self) -> float:
        """Slot-seconds with a lease over slot-seconds of cells that were up."""
        return self.leased_seconds / self.offered_seconds if self.offered_seconds else 0.0

    @property
    def idle_unexplained(self) -> float:
        """Free slot-seconds that no event gave a reason for."""
        return max(0.0, self.offered_seconds - self.leased_seconds - sum(self.idle.values()))

    def pass_time(self, start: float, end: float) -> None:
        """Nothing changed between the two."""
        passed = end - start
        self.now = end
        if not self.up:
            return
        leased, offered = passed * len(self.open), passed * max(self.slots, len(self.open))
        self.leased_curve.add(start, end, leased)
        self.offered_curve.add(start, end, offered)
        self.leased_seconds += leased
        self.offered_seconds += offered
        self.up_seconds += passed * self.up
        self.at_work_seconds += passed * self.at_work

    def start(self, event: CellStarted) -> None:
        cell = self.by_name.setdefault(event.cell, CellState(event.cell, event.node, event.kind, event.slots))
        if cell.up:
            return
        cell.node, cell.kind, cell.slots = event.node, event.kind, event.slots
        cell.lives.append(Life(event.at))
        self.up += 1
        self.slots += cell.slots

    def drain(self, event: CellDraining) -> None:
        cell = self.by_name.get(event.cell)
        if cell is not None and cell.up:
            cell.lives[-1].draining = event.at

    def leases_on(self, cell: str) -> list[int]:
        """Numbers of the attempts in flight there."""
        return [number for number, lease in self.open.items() if lease.began.cell == cell]

    def stop(self, event: CellStopped) -> None:
        """The cell is gone; the leases on it ended before."""
        cell = self.by_name.get(event.cell)
        if cell is None or not cell.up:
            return
        cell.lives[-1].end, cell.lives[-1].reason = event.at, event.reason
        self.up -= 1
        self.slots -= cell.slots

    def begin_lease(self, event: LeaseBegan) -> None:
        cell = self.by_name.get(event.cell)
        if cell is None or not cell.up or event.attempt in self.open:
            return
        slot = next(n for n in range(len(cell.busy_slots) + 1) if n not in cell.busy_slots)
        self.at_work += not cell.busy_slots
        cell.busy_slots.add(slot)
        cell.leases += 1
        cell.video = event.video
        self.open[event.attempt] = OpenLease(event, slot)

    def end_lease(self, event: LeaseEnded) -> LeaseBegan | None:
        """The lease that ended; None where it was not open any more."""
        lease = self.open.pop(event.attempt, None)
        if lease is None:
            return None
        cell = self.by_name[lease.began.cell]
        cell.busy_slots.discard(lease.slot)
        self.at_work -= not cell.busy_slots
        cell.leased_seconds += event.at - lease.began.at
        cell.failed_leases += event.outcome in ("failed", "lost")
        self.lanes.add((cell.name, lease.slot), span_of(lease.began, event.at, event.outcome, event.message))
        return lease.began

    def spans(self) -> dict[Key, list[Span]]:
        """What each slot did, leases in flight as of `now` among it."""
        rows = {key: list(spans) for key, spans in self.lanes.rows.items()}
        for lease in self.open.values():
            rows.setdefault((lease.began.cell, lease.slot), []).append(span_of(lease.began, self.now, "running"))
        return rows

    def stand_idle(self, event: SlotsIdle) -> None:
        self.idle[event.reason] += event.slot_seconds
        if (cell := self.by_name.get(event.cell)) is not None:
            cell.idle[event.reason] += event.slot_seconds


def span_of(began: LeaseBegan, end: float, outcome: str, note: str = "") -> Span:
    """The lease as a stretch of its lane."""
    units = (min(began.units), max(began.units)) if began.units else (0, 0)
    return Span(
        began.at, end, began.work, outcome, began.video, units, began.frames,
        duplicate=began.duplicate_of is not None, on_cpu=began.on_cpu, note=note[:300],
    )  # fmt: skip
