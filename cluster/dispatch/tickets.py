"""What a journey waits for: units asked of the cells, and results as they come."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from queue import Queue
from typing import Protocol

from cluster.fleet.values import RenderWork, ScanWork
from cluster.scheduling.values import Failure, Unit, Video
from pipeline.part import Part
from pipeline.pool import Decision
from pipeline.segments import ScanUnit
from pipeline.stages import Stopped
from tasks.errors import ReelyardError, SegmentError

Result = Part | ScanUnit


class WorkOf(Protocol):
    """Units of a ticket as something that a cell can do."""

    def __call__(self, numbers: Sequence[int]) -> RenderWork | ScanWork: ...


@dataclass(eq=False)
class Ticket:
    """Units of one video that were asked for together; results and the failure come through it."""

    video: Video
    units: tuple[Unit, ...]
    work_of: WorkOf
    together: bool
    "One lease: the source is decoded once, in order."
    later_megapixels: float
    "Work of the video that will be asked for when this is done."
    progress: Callable[[str, int], None]
    results: "Queue[Result | ReelyardError | Stopped]" = field(default_factory=Queue)
    decisions: list[Decision] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    "Units whose last attempt failed, and how: they are tried again or given up."

    def frames_of(self, unit: Unit) -> str:
        """Which frames a unit stands for, for a message."""
        work = self.work_of([unit.number])
        if isinstance(work, RenderWork):
            segment = work.lease.works[0].segment
            return f" (output frames {segment.start}-{segment.end})"
        stretch = work.works[0].unit
        return f" (source frames {stretch.start}-{stretch.end})"

    def stop(self) -> None:
        """Whoever waits for results is told that none are wanted any more; from any thread."""
        self.results.put(Stopped())

    def collected(self) -> Iterator[Result]:
        """One result for each unit, in any order.

        Raises:
            ReelyardError: a unit was given up.
            Stopped: the ticket was stopped.
        """
        for _ in self.units:
            result = self.results.get()
            if isinstance(result, Exception):
                raise result
            yield result


def given_up(unit: Unit, failures: Sequence[Failure], quarantined: bool, place: str) -> SegmentError:
    """The error that ends a video; `place` says which frames."""
    last = failures[-1]
    times = ""
    if quarantined:
        workers = len({failure.worker for failure in failures})
        times = f"failed {len(failures)} times on {workers} worker{'s' if workers > 1 else ''}, given up: "
    told = last.message if place in last.message else f"{place}: {last.message}"
    return SegmentError(f"{times}{told}", last.stage, last.worker, last.kind)
