"""What is said of how good a task's drawing came out: measures, the frames that came out worst, and limits for them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from tasks.errors import JobError
from tasks.task import Arrays, TaskInputs, UnitMeasurement

if TYPE_CHECKING:
    from tasks.device_batch import DeviceBatch


@dataclass(frozen=True)
class MeasureKind:
    """A measure that a gate can name."""

    at_most: bool
    "Whether a limit is the most that is good, not the least."
    meaning: str


#: All measures by name.
KINDS: Mapping[str, MeasureKind] = {
    "seam": MeasureKind(True, "step at the edge of what was drawn, over the source's own detail there; 0 none"),
    "flicker": MeasureKind(True, "brightness that comes and goes at that edge, over the source's own; 1 as the source"),
    "border": MeasureKind(True, "change across segment borders over that within segments; 1 the same"),
    "sharpness": MeasureKind(False, "detail of the drawn mouth over the source's at the same place; 1 as the source"),
    "sync": MeasureKind(False, "correlation of the mouth measured again with what the voice asks for; 1 at best"),
    "lse_d": MeasureKind(True, "distance of mouths and sound by SyncNet (sync_model=); 0 at best, 1.41 unrelated"),
    "lse_c": MeasureKind(False, "how much nearer that is than at other shifts; 0 no nearer"),
    "lse_offset": MeasureKind(True, "milliseconds by which SyncNet finds mouths and sound apart; 0 at best"),
}


@dataclass(frozen=True)
class WorstFrame:
    """A frame that a measure finds worst."""

    frame: int
    "Of the output."
    measure: str
    value: float
    picture: bytes
    "JPEG: the source's mouth beside the drawn one."


@dataclass(frozen=True)
class Quality:
    """How good a task's drawing came out."""

    measures: Mapping[str, float]
    "By the names of KINDS; those that could not be measured are left out."
    looked_at: int
    "Frames."
    worst: tuple[WorstFrame, ...] = ()


@runtime_checkable
class SelfChecking(Protocol):
    """A task that can say how good its drawing came out."""

    def look_before(self, batch: "DeviceBatch", inputs: TaskInputs, frames: Sequence[int]) -> object:
        """What is kept of pictures `frames` (indexes into the batch) before they are drawn into."""

    def look_after(self, before: object, batch: "DeviceBatch", inputs: TaskInputs) -> Arrays:
        """What is measured of them afterwards: arrays with one entry a look."""

    def judge(self, looks: Iterable[UnitMeasurement], asked: Arrays, cuts: npt.NDArray[np.bool_]) -> Quality:
        """All looks of a video, segment by segment in order, as one; `cuts` (n,) where the picture does not go on."""


def joined_looks(looks: Sequence[Arrays]) -> dict[str, npt.NDArray[np.generic]]:
    """Looks that follow one another as one; none is none."""
    if not looks:
        return {}
    return {name: np.concatenate([one[name] for one in looks]) for name in looks[0]}


def parse_gate(text: str) -> tuple[tuple[str, float], ...]:
    """`NAME=VALUE,…` as sorted limits.

    Raises:
        JobError: an unknown name, or a value that is no number.
    """
    limits: dict[str, float] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if name not in KINDS:
            raise JobError(f"--quality-gate {pair}: there is no measure {name!r}; measures are {', '.join(KINDS)}")
        try:
            limits[name] = float(value) if equals else float("nan")
        except ValueError:
            limits[name] = float("nan")
        if not np.isfinite(limits[name]):
            raise JobError(f"--quality-gate {pair}: expected NAME=NUMBER, as sharpness=0.6,sync=0.3")
    if not limits:
        raise JobError("--quality-gate: found nothing; expected NAME=NUMBER, as sharpness=0.6,sync=0.3")
    return tuple(sorted(limits.items()))


def falls_short(measures: Mapping[str, float], gate: Iterable[tuple[str, float]]) -> Iterator[str]:
    """What is outside its limit, in words; what could not be measured is within."""
    for name, limit in gate:
        kind, found = KINDS[name], measures.get(name)
        if found is not None and (found > limit if kind.at_most else found < limit):
            yield f"{name} is {found:.2f}, asked for at {'most' if kind.at_most else 'least'} {limit:g}"
