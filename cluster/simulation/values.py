"""What is simulated, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.scheduling.values import Cell, Unit, Video, Work


@dataclass(frozen=True)
class VideoLoad:
    """A video as work: units, and seconds of the steps that side workers do."""

    video: Video
    render: tuple[Unit, ...]
    scan: tuple[Unit, ...] = ()
    probe_seconds: float = 1.0
    conclude_seconds: float = 0.5
    stitch_seconds: float = 1.0
    together: bool = False
    "A linear source: one lease."
    bad: str = ""
    "Kind of failure that every attempt at its first unit meets; none where empty."


@dataclass(frozen=True)
class Costs:
    """What work really takes, as opposed to what the scheduler thinks; served seconds, one attempt alone on a cell."""

    rates: Mapping[tuple[str, Work, str], float]
    "Seconds per megapixel by recipe, work and kind of cell; '' stands for any recipe or kind."
    fixed_seconds: float = 1.0
    "Of each lease, before its first frame."
    load_seconds: float = 0.0
    "More than that on a cell that has not loaded the recipe."
    noise: float = 0.0
    "Standard deviation of the logarithm of a unit's time."

    def rate(self, recipe: str, work: Work, kind: str) -> float:
        for key in ((recipe, work, kind), (recipe, work, ""), ("", work, kind), ("", work, "")):
            if key in self.rates:
                return self.rates[key]
        raise KeyError(f"no rate for {work} of {recipe!r} on {kind!r}")


@dataclass(frozen=True)
class Faults:
    """What goes wrong."""

    failure_share: float = 0.0
    "Of attempts: a worker is lost or storage fails in the middle, by turns of luck."
    spot_losses: tuple[float, ...] = ()
    "Moments at which a cell's node is told to go."
    notice_seconds: float = 120.0
    replaced_after_seconds: float | None = 180.0
    "After it went; None: never."


@dataclass(frozen=True)
class Setting:
    """A cluster to simulate."""

    cells: tuple[Cell, ...]
    costs: Costs
    slowness: Mapping[str, float] = field(default_factory=dict)
    "Of single cells: so many times slower than their kind."
    faults: Faults = Faults()
    side_workers: int = 2
    "That probe, conclude and stitch."
    start_seconds: float = 0.0
    "Before the first cell stands."
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """How a simulated run went."""

    makespan_seconds: float
    ideal_seconds: float
    "All work without fixed costs, loads, noise and faults, spread evenly over the cells at hand at the start."
    videos_done: int
    videos_failed: tuple[str, ...]
    cell_seconds: float
    "Of all cells, from when they stood until they went or the run ended."
    idle_seconds: Mapping[str, float]
    "Cell-seconds with nothing in flight, by reason."
    attempts: int
    failures: int
    duplicates: int
    "Attempts at units that another was at: doubled or taken over."
    done_at: Mapping[str, float]
    "When each video was stitched."

    @property
    def efficiency(self) -> float:
        return self.ideal_seconds / self.makespan_seconds if self.makespan_seconds else 1.0

    @property
    def idle_share(self) -> float:
        return sum(self.idle_seconds.values()) / self.cell_seconds if self.cell_seconds else 0.0

    @property
    def gpu_hours(self) -> float:
        return self.cell_seconds / 3600
