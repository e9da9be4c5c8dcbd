"""What is given to a fleet and what it tells; the seam between deciding and doing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Queue
from typing import Any, Protocol

from cluster.messages import WorkerFacts
from cluster.scheduling.values import Attempt, Cell
from pipeline.index import SourceIndex
from pipeline.part import Part
from pipeline.pool import Decision
from pipeline.segments import ScanUnit
from pipeline.work import Decoding, Lease, UnitWork
from tasks.errors import SegmentError
from tasks.runtime.choice import Machine
from tasks.task import TaskSpec


@dataclass(frozen=True, eq=False)
class RenderWork:
    """What an attempt at rendering does; `index` is the same object for all attempts of a video."""

    index: SourceIndex
    specs: tuple[TaskSpec, ...]
    lease: Lease


@dataclass(frozen=True, eq=False)
class ScanWork:
    """What an attempt at a scan does."""

    index: SourceIndex
    spec: TaskSpec
    works: tuple[UnitWork, ...]
    decoding: Decoding


@dataclass(frozen=True)
class CellUp:
    cell: Cell


@dataclass(frozen=True)
class CellDrains:
    cell: str
    deadline_seconds: float
    "From now."


@dataclass(frozen=True)
class CellDown:
    """The cell is gone for good, with every attempt on it: no outcome of them follows."""

    cell: str
    reason: str


@dataclass(frozen=True, eq=False)
class Yielded:
    """Parts were committed, or units measured and stored, since the last such word."""

    attempt: int
    results: tuple[Part | ScanUnit, ...]


@dataclass(frozen=True)
class Passed:
    """Frames that went through the attempt since the last."""

    attempt: int
    frames: int


@dataclass(frozen=True)
class Ended:
    """The attempt is over; `error` is None where all of it was done."""

    attempt: int
    error: SegmentError | None = None


@dataclass(frozen=True)
class Shortage:
    """No cell stands and none can be placed: nothing of the run will go on."""

    message: str


Told = CellUp | CellDrains | CellDown | Yielded | Passed | Ended | Shortage


class Fleet(Protocol):
    """Cells and side workers; `start` and `cancel` return at once, what becomes of them is told in `told`."""

    told: "Queue[Told]"

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What was chosen so far."""

    @property
    def device_class(self) -> str:
        """cpu-fp32, cuda-fp32 …: of all cells, part of every part's key; may wait for the first cell.

        Raises:
            ReelyardError: no cell could be placed (with what was needed, found, and what to do), or none started.
        """

    @property
    def machine(self) -> Machine:
        """What all cells choose their precision by; may wait for the first cell.

        Raises:
            ReelyardError: as `device_class`.
        """

    def start(self, attempt: Attempt, work: RenderWork | ScanWork) -> None:
        """Begin; an `Ended` follows always, unless the cell goes down."""

    def cancel(self, attempt: int) -> None:
        """End an attempt soon; its `Ended` carries kind Stopped."""

    def do(self, function: Callable[..., Any], *arguments: object, stopped: Callable[[], bool]) -> tuple[Any, str]:
        """(answer, worker) of `function(storage, scratch, *arguments)`, on a worker outside the cells if there is one.

        `function` is one of the pipeline's, by its module and name; `scratch` a folder of the call alone.

        Raises:
            ReelyardError: what it raised; tried again elsewhere where the worker was lost or storage failed.
            Stopped: `stopped` came true while waiting.
        """

    def want(self, cells: int) -> None:
        """So many cells would have work: a cluster that can grow may see it."""

    def tell_queue(self, waits: bool) -> None:
        """Whether units wait that no attempt holds: where none do, attempts in flight are watched closely."""

    def facts(self) -> Sequence[WorkerFacts]:
        """What the workers used so far; none of those that do not answer."""

    def close(self) -> None:
        """Stop all work, end all workers; safe to call twice."""
