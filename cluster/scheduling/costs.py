"""What a unit will likely cost where: seconds per megapixel by recipe, work and kind of cell, learnt as the run goes.

Seconds here are *served* seconds: of `n` attempts in flight on a cell each gets 1/n of a second a second.
Until a cost was measured it is taken from the nearest one that was: the same recipe and work on another
kind, then the recipe's other work, then what was given for the run.
"""

from collections import deque
from dataclasses import dataclass, field

from cluster.scheduling.settings import SchedulerSettings
from cluster.scheduling.values import Work

#: How many times faster than one 2-core CPU cell a kind is, before anything was measured: the order of magnitude
#: at which public reports of lip-sync and super-resolution networks differ between these cards; priors, not figures.
_SPEED = {
    "cpu": 1.0, "t4": 4.0, "v100": 6.0, "a10": 8.0, "a10g": 8.0, "l4": 8.0, "3090": 9.0, "a100": 14.0,
    "l40s": 16.0, "4090": 16.0, "5090": 20.0, "h100": 24.0, "h200": 24.0, "b200": 40.0,
}  # fmt: skip
_USUAL_SPEED = 10.0
#: Weight of the latest measurement, once there are some.
_LATEST = 0.2
#: So many of the latest measurements tell what nine in ten stay below.
_KEPT = 64


def speed_of(kind: str) -> float:
    """The prior speed of a kind: `l4`, `NVIDIA-L4`, `H100-80G` …; the longest name found in it counts."""
    known = [name for name in _SPEED if name in kind.lower()]
    return _SPEED[max(known, key=len)] if known else _USUAL_SPEED


@dataclass(slots=True)
class Average:
    """An exponentially weighted mean whose first values weigh alike."""

    value: float = 0.0
    count: int = 0

    def add(self, value: float, latest: float = _LATEST) -> None:
        self.count += 1
        self.value += (value - self.value) * max(latest, 1 / self.count)


@dataclass(slots=True)
class _Spread:
    """Over all kinds of cells: the mean cost and the latest ones."""

    mean: Average = field(default_factory=Average)
    latest: "deque[float]" = field(default_factory=lambda: deque(maxlen=_KEPT))


class CostModel:
    """Learns from what was measured, answers for what comes; deterministic."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self._settings = settings
        self._rates: dict[tuple[str, Work, str], Average] = {}
        self._spreads: dict[tuple[str, Work], _Spread] = {}
        self._kinds: dict[tuple[str, Work], dict[str, Average]] = {}
        self._starts: dict[tuple[str, bool], Average] = {}

    @property
    def learnt(self) -> bool:
        """True once anything was measured."""
        return bool(self._rates)

    def measured(self, recipe: str, work: Work, kind: str) -> int:
        """So many units."""
        rate = self._rates.get((recipe, work, kind))
        return rate.count if rate else 0

    def learn(self, recipe: str, work: Work, kind: str, megapixels: float, seconds: float) -> None:
        """A unit took so many served seconds on a cell of this kind."""
        cost = max(1e-9, seconds / max(megapixels, 1e-9))
        rate = self._rates.get((recipe, work, kind))
        if rate is None:
            rate = self._rates[recipe, work, kind] = Average()
            self._kinds.setdefault((recipe, work), {})[kind] = rate
            self._spreads.setdefault((recipe, work), _Spread())
        rate.add(cost)
        spread = self._spreads[recipe, work]
        spread.mean.add(cost)
        spread.latest.append(cost)

    def learn_start(self, recipe: str, cold: bool, seconds: float) -> None:
        """An attempt showed its first progress after so long, on a cell that was cold or warm for it."""
        self._starts.setdefault((recipe, cold), Average()).add(seconds)

    def rate(self, recipe: str, work: Work, kind: str) -> float:
        """Served seconds per megapixel on this kind."""
        found = self._rates.get((recipe, work, kind))
        if found is not None:
            return found.value
        others = self._kinds.get((recipe, work))
        if others:
            other, rate = max(others.items(), key=lambda item: item[1].count)
            return rate.value * speed_of(other) / speed_of(kind)
        if work == "scan":
            return self._settings.scan_share * self._prior(recipe, "render", kind)
        return self._prior(recipe, "scan", kind) / self._settings.scan_share

    def _prior(self, recipe: str, work: Work, kind: str) -> float:
        """Of work that was not measured, by the recipe's other work if that was."""
        if (recipe, work) in self._kinds:
            return self.rate(recipe, work, kind)
        share = 1.0 if work == "render" else self._settings.scan_share
        return self._settings.seconds_per_megapixel * share / speed_of(kind)

    def pool_rate(self, recipe: str, work: Work) -> float:
        """Served seconds per megapixel over all cells."""
        spread = self._spreads.get((recipe, work))
        return spread.mean.value if spread else self.rate(recipe, work, "")

    def high_rate(self, recipe: str, work: Work) -> float:
        """Nine of ten of the latest units cost no more per megapixel; 0 where none was measured."""
        spread = self._spreads.get((recipe, work))
        if not spread:
            return 0.0
        latest = sorted(spread.latest)
        return latest[min(len(latest) - 1, int(len(latest) * 0.9))]

    def fixed_seconds(self, recipe: str) -> float:
        """From the start of an attempt on a warm cell to its first frame."""
        warm = self._starts.get((recipe, False))
        return warm.value if warm else self._settings.fixed_seconds

    def load_seconds(self, recipe: str) -> float:
        """How much longer that takes on a cell that is not warm."""
        cold, warm = self._starts.get((recipe, True)), self._starts.get((recipe, False))
        return max(0.0, cold.value - warm.value) if cold and warm else self._settings.load_seconds
