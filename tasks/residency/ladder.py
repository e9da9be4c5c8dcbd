"""What gives way when a device runs out of memory, one step at a time, and how it comes back; pure values.

    evict cold models -> halve the batch -> tile the frame -> smaller tiles -> elsewhere

The steps shrink one value, `Setting`; growing back undoes them in reverse, after a run of successes that
doubles every time growing proved too much.  `elsewhere` is the cluster's: a larger GPU, then the CPU.
"""

from dataclasses import dataclass, replace
from typing import Final, Literal

Kind = Literal["evict", "halve", "tile", "elsewhere", "grow"]
FIRST_PATIENCE: Final = 8
LONGEST_PATIENCE: Final = 4096


@dataclass(frozen=True)
class Setting:
    """How much of the device is used at once."""

    budget_bytes: int
    "For models."
    batch_frames: int
    tile_side: int = 0
    "Of the square tiles that a frame is cut into; 0: the whole frame."


@dataclass(frozen=True)
class Step:
    """One move on the ladder, for the report."""

    kind: Kind
    before: Setting
    after: Setting
    reason: str

    def __str__(self) -> str:
        return f"{self.words} ({self.reason})"

    @property
    def words(self) -> str:
        """The move alone: equal for equal moves, whatever made them necessary."""
        moved = [
            f"{name} {old} → {new}"
            for name, old, new in (
                ("model budget", f"{self.before.budget_bytes:,} bytes", f"{self.after.budget_bytes:,} bytes"),
                ("batch", self.before.batch_frames, self.after.batch_frames),
                ("tile", self.before.tile_side or "whole frame", self.after.tile_side or "whole frame"),
            )
            if old != new
        ]
        return f"{self.kind}: {', '.join(moved) or 'nothing smaller is left on this device'}"


@dataclass(frozen=True)
class Ladder:
    """Where one model at one resolution stands."""

    wanted: Setting
    now: Setting
    tile_sides: tuple[int, ...] = ()
    "Largest first; empty where the task cannot be tiled."
    successes: int = 0
    "Renders since the last step."
    patience: int = FIRST_PATIENCE
    "How many of them before growing is tried."
    trying: bool = False
    "The setting was just grown and has not proved itself."

    @classmethod
    def start(cls, wanted: Setting, tile_sides: tuple[int, ...] = ()) -> "Ladder":
        if wanted.batch_frames < 1 or list(tile_sides) != sorted(set(tile_sides), reverse=True):
            raise ValueError(f"batch {wanted.batch_frames} and tiles {tile_sides}: expected >= 1 and falling sides")
        return cls(wanted, wanted, tile_sides)

    def with_budget(self, budget_bytes: int, wanted_bytes: int) -> "Ladder":
        """The same beside other models, whose steps and pictures move the budget that all share."""
        now, wanted = (
            replace(setting, budget_bytes=size)
            for setting, size in ((self.now, budget_bytes), (self.wanted, wanted_bytes))
        )
        return replace(self, now=now, wanted=wanted)


def after_shortage(ladder: Ladder, *, least_bytes: int | None, reason: str) -> tuple[Ladder, Step]:
    """One step down; with `elsewhere` nothing smaller is left here and the setting stays.

    `least_bytes` of models would be left if all cold ones went; None where there are none.
    """
    kind, smaller = _smaller(ladder, least_bytes)
    patience = min(2 * ladder.patience, LONGEST_PATIENCE) if ladder.trying else ladder.patience
    moved = replace(ladder, now=smaller, successes=0, patience=patience, trying=False)
    return moved, Step(kind, ladder.now, smaller, reason)


def after_success(ladder: Ladder) -> tuple[Ladder, Step | None]:
    """The ladder after a batch that went well: one step up where that went on long enough."""
    successes = ladder.successes + 1
    if ladder.now == ladder.wanted or successes < ladder.patience:
        trying = ladder.trying and successes < ladder.patience
        return replace(ladder, successes=min(successes, ladder.patience), trying=trying), None
    larger = _larger(ladder)
    grown = replace(ladder, now=larger, successes=0, trying=True)
    return grown, Step("grow", ladder.now, larger, f"{successes} batches went well")


def _smaller(ladder: Ladder, least_bytes: int | None) -> tuple[Kind, Setting]:
    now = ladder.now
    if least_bytes is not None and least_bytes < now.budget_bytes:
        return "evict", replace(now, budget_bytes=least_bytes)
    if now.batch_frames > 1:
        return "halve", replace(now, batch_frames=now.batch_frames // 2)
    smaller_tiles = [side for side in ladder.tile_sides if not now.tile_side or side < now.tile_side]
    if smaller_tiles:
        return "tile", replace(now, tile_side=smaller_tiles[0])
    return "elsewhere", now


def _larger(ladder: Ladder) -> Setting:
    """One step back towards what was wanted, the last step down first."""
    now, wanted = ladder.now, ladder.wanted
    if now.tile_side != wanted.tile_side:
        larger = [side for side in ladder.tile_sides if side > now.tile_side]
        return replace(now, tile_side=larger[-1] if larger else wanted.tile_side)
    if now.batch_frames < wanted.batch_frames:
        return replace(now, batch_frames=min(2 * now.batch_frames, wanted.batch_frames))
    return replace(now, budget_bytes=wanted.budget_bytes)
