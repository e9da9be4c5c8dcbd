"""What the scheduler remembers of cells, videos and attempts in flight; counters, no decisions."""

import heapq
from dataclasses import dataclass, field

from cluster.scheduling.costs import Average
from cluster.scheduling.values import Attempt, Cell, Failure, Unit, Video, Work

Key = tuple[Work, int]
#: Units that are leased together: one, or all of a linear source's.
Bundle = tuple[Unit, ...]

_RANK: dict[Work, int] = {"scan": 0, "render": 1}


def key_of(unit: Unit) -> Key:
    return unit.work, unit.number


@dataclass(slots=True)
class Record:
    """The past of a unit that failed."""

    failures: list[Failure] = field(default_factory=list)
    losses: int = 0
    "Of workers, free ones included."
    storage: int = 0
    counted: int = 0
    "Failures that speak against the unit."
    cells: set[str] = field(default_factory=set)
    "Where the counted ones happened; others are tried first."
    memory_bytes: int = -1
    "Of the largest GPU whose memory it overran; -1 for none."

    @property
    def marks(self) -> bool:
        """True where not every cell may take the unit."""
        return bool(self.cells) or self.memory_bytes >= 0


@dataclass(eq=False, slots=True)
class VideoState:
    """A video and what of it is ready, running and done."""

    video: Video
    index: int
    "Order in which videos were added."
    ready: list[tuple[int, int, Bundle]] = field(default_factory=list)
    "A heap: scans first, then by number."
    remaining: float = 0.0
    "Megapixels not leased yet, scans weighed by what they cost, later work included."
    later: float = 0.0
    started: bool = False
    closed: bool = False
    "Given up: what is still told of it changes nothing."
    done: set[Key] = field(default_factory=set)
    holders: dict[Key, list["Running"]] = field(default_factory=dict)
    "Attempts in flight that are to do a unit: at most two."
    records: dict[Key, Record] = field(default_factory=dict)
    together: set[Key] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)

    def push(self, bundle: Bundle) -> None:
        heapq.heappush(self.ready, (_RANK[bundle[0].work], bundle[0].number, bundle))


@dataclass(eq=False, slots=True)
class Running:
    """An attempt in flight."""

    attempt: Attempt
    video: VideoState
    cell: "CellState"
    started: float
    served: float
    "Served seconds of its cell when it was started."
    cold: bool
    predicted: float
    "Served seconds."
    weight: float
    unit_started: float = 0.0
    "When the unit that is on was started, and `served` then."
    unit_served: float = 0.0
    progressed: bool = False
    frames: int = 0
    "Of the unit that is on, as last told."
    told_served: float = 0.0
    "Served seconds of its cell when they were told."
    taken: set[Key] = field(default_factory=set)
    "Units that another attempt took over before they were begun."
    cancelled: bool = False

    def undone(self) -> list[Unit]:
        """In order; the first is the one that is on."""
        done, taken = self.video.done, self.taken
        return [u for u in self.attempt.units if (u.work, u.number) not in done and (u.work, u.number) not in taken]


@dataclass(eq=False, slots=True)
class CellState:
    """A cell, what runs on it, and how it has done so far."""

    cell: Cell
    order: int
    running: dict[int, Running] = field(default_factory=dict)
    warm: dict[str, bool] = field(default_factory=dict)
    "Recipes loaded (True) or being loaded, latest last."
    deadline: float | None = None
    "When its node goes."
    expired: bool = False
    slowness: Average = field(default_factory=lambda: Average(1.0, 0))
    "Served seconds over those predicted for its kind."
    declined: str = ""
    "Why it was given nothing at the last decision."
    suspects: set[tuple[str, Key]] = field(default_factory=set)
    "Units that failed here and nowhere else since the last success."
    rests: int = 0
    rest_until: float = 0.0
    _served: float = 0.0
    _seen: float = 0.0

    @property
    def free(self) -> int:
        return 0 if self.expired else self.cell.slots - len(self.running)

    def served(self, now: float) -> float:
        """Seconds that each attempt in flight has got so far."""
        if self.running:
            self._served += (now - self._seen) / len(self.running)
        self._seen = now
        return self._served

    def begin(self, running: Running, keep: int) -> None:
        self.running[running.attempt.number] = running
        recipe = running.video.video.recipe
        self.warm[recipe] = self.warm.pop(recipe, False)
        while len(self.warm) > keep:
            del self.warm[next(iter(self.warm))]
