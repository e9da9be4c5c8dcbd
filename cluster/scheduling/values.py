"""What the scheduler knows: cells, videos, units of work, attempts at them, and what it decides; no machine."""

from dataclasses import dataclass, field
from typing import Literal

Work = Literal["scan", "render"]


@dataclass(frozen=True)
class Cell:
    """A cell as the scheduler sees it: free slots pull."""

    name: str
    node: str
    kind: str
    "GPU kind (h100, l4 …) or cpu; costs are learnt by kind."
    slots: int = 2
    "Leases in flight at the same time."
    memory_bytes: int = 0
    "Of its GPU; 0 for a cell without one.  After OutOfVram a unit goes to a larger one, then to the CPU."


@dataclass(frozen=True)
class Video:
    """One item of a run."""

    name: str
    "Unique in the run."
    job: str = ""
    "Whose work it is: the class that gets a fair share."
    priority: int = 0
    "Higher goes first, always."
    weight: float = 1.0
    "Share of its job among jobs of one priority."
    recipe: str = ""
    "Tasks, sizes and encoder: equal recipes keep models warm and share a cost model."


@dataclass(frozen=True, slots=True)
class Unit:
    """The least that can be leased: one segment to render, or one stretch to measure."""

    video: str
    work: Work
    number: int
    "Of the segment or scan unit; order within the video."
    frames: int
    megapixels: float
    "Frames times pixels, in millions: what costs are proportional to."


@dataclass(frozen=True)
class Attempt:
    """Units leased together to a cell, tried once."""

    number: int
    cell: str
    units: tuple[Unit, ...]
    duplicate_of: int | None = None
    "Attempt whose tail this one speculates on."
    on_cpu: bool = False
    "Computed on the processors of the cell although it has a GPU: the last step of the ladder."

    @property
    def video(self) -> str:
        return self.units[0].video

    @property
    def work(self) -> Work:
        return self.units[0].work


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed, as far as the answer depends on it."""

    kind: str
    "`SegmentError.kind`: a class of tasks/errors.py, or bug."
    stage: str
    worker: str
    message: str


@dataclass(frozen=True)
class Start:
    """Begin this attempt now."""

    attempt: Attempt


@dataclass(frozen=True)
class Cancel:
    """End this attempt; nobody waits for it any more."""

    attempt: int
    reason: str


@dataclass(frozen=True)
class GiveUp:
    """A unit will not be tried again; its video fails with these failures, latest last."""

    unit: Unit
    failures: tuple[Failure, ...]
    quarantined: bool = field(default=False)
    "True where it failed on several workers for no reason that its error names."


Decision = Start | Cancel | GiveUp
