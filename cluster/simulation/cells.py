"""A simulated cell: attempts in flight share it evenly, each through its stages one after the other."""

from dataclasses import dataclass, field

from cluster.scheduling.values import Attempt, Cell, Failure, Unit


@dataclass(slots=True)
class Doing:
    """An attempt in flight on a simulated cell."""

    attempt: Attempt
    cell: "SimulatedCell"
    stages: list[tuple[float, Unit | None]]
    "(served seconds, unit done at its end; None: the first frame), last one first."
    left: float
    "Served seconds of the stage it is in."
    fails: tuple[float, Failure] | None = None
    "Served seconds of its first unit after which it fails."
    told: int = 0
    "Frames of the unit it is in that were told."


@dataclass(slots=True)
class SimulatedCell:
    """Serves n attempts at 1/n of its speed each."""

    cell: Cell
    slowness: float
    up_at: float
    doing: dict[int, Doing] = field(default_factory=dict)
    version: int = 0
    "Counts changes: an end that was foreseen before the last one does not happen."
    _seen: float = 0.0

    def serve(self, now: float) -> None:
        """Everybody's share of the time since the last change."""
        if self.doing:
            share = (now - self._seen) / len(self.doing)
            for one in self.doing.values():
                one.left -= share
        self._seen = now

    def next_end(self) -> tuple[float, Doing] | None:
        """When, and whose stage ends first."""
        self.version += 1
        if not self.doing:
            return None
        first = min(self.doing.values(), key=_left)
        return self._seen + max(0.0, first.left) * len(self.doing), first


def _left(doing: Doing) -> float:
    return doing.left
