"""The numbers that the scheduler decides by, each with what it is for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SchedulerSettings:
    """All in seconds of the run's clock unless the name says otherwise."""

    seconds_per_megapixel: float = 0.02
    "Until something was measured, on a CPU cell: 1080p at 24 frames a second."
    scan_share: float = 0.3
    "Until measured: a scan's cost over that of rendering as many pixels."
    load_seconds: float = 0.0
    "Until measured: what a recipe costs a cell that was not warm for it."
    fixed_seconds: float = 1.0
    "Until measured: from the start of an attempt to its first frame on a warm cell."
    fixed_share: float = 0.05
    "Of a lease's time, at most, goes into what every lease costs anew, while there is work enough."
    lease_seconds: float = 60.0
    "Of work in a lease, while there is enough for all: each costs the driver milliseconds, at any speed of a cell."
    most_units: int = 8
    "In one lease."
    warm_recipes: int = 3
    "That a cell is taken to keep loaded, the latest ones."
    slow_factor: float = 1.5
    "A cell so many times slower than others starts nothing at the end that would keep them waiting."
    straggler_factor: float = 1.5
    "Of the predicted time, before an attempt may be doubled."
    straggler_seconds: float = 10.0
    straggler_rate: float = 0.5
    "Of the pool's rate: an attempt that is faster is no straggler."
    look_seconds: float = 1.0
    "Between two looks for stragglers."
    told_seconds: float = 20.0
    "Frames that passed are told so late, at most."
    free_losses: int = 2
    "So many times a unit may lose its worker before that counts as its own failure."
    quarantine_failures: int = 3
    quarantine_cells: int = 2
    "A unit is quarantined after so many failures on so many cells, or on the only one there is."
    most_failures: int = 8
    "A unit is quarantined then wherever it failed."
    suspicions: int = 3
    "Units in a row that failed on a cell, and nowhere else, before it rests."
    rest_seconds: float = 20.0
    "Doubled for each further rest."
