"""Videos and clusters to simulate, made up by a test."""

import random

from cluster.scheduling.values import Cell, Unit, Video, Work
from cluster.simulation.values import Costs, VideoLoad

#: Served seconds per megapixel: a 15-second segment of 1080p at 25 frames a second takes 15.6 s of a cell.
RATES: dict[tuple[str, Work, str], float] = {("", "render", ""): 0.02, ("", "scan", ""): 0.006}


def cells_of(count: int, *, kind: str = "l4", slots: int = 2, a_node: int = 8) -> tuple[Cell, ...]:
    return tuple(Cell(f"c{n:03}", f"n{n // a_node}", kind, slots) for n in range(count))


def load_of(
    name: str, seconds: float, *, segment_seconds: float = 15.0, scan: bool = False, bad: str = "", recipe: str = "r"
) -> VideoLoad:
    """1080p at 25 frames a second, in segments of equal length."""
    count = max(1, round(seconds / segment_seconds))
    frames = max(1, int(seconds * 25 / count))

    def units(work: Work) -> tuple[Unit, ...]:
        return tuple(Unit(name, work, number, frames, frames * 2.0736) for number in range(count))

    return VideoLoad(Video(name, recipe=recipe), units("render"), units("scan") if scan else (), bad=bad)


def many_loads(count: int, seed: int = 1) -> list[VideoLoad]:
    """Log-normal lengths, a minute in the middle, scanned and rendered."""
    chance = random.Random(seed)
    return [load_of(f"v{number}", chance.lognormvariate(4.1, 0.8), scan=True) for number in range(count)]


def usual_costs(noise: float = 0.2, load_seconds: float = 0.0) -> Costs:
    return Costs(RATES, fixed_seconds=1.0, load_seconds=load_seconds, noise=noise)
