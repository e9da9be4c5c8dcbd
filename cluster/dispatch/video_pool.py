"""What one journey sees of a cluster: a pool of its own, whose units go to cells that all videos share."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

from cluster.dispatch.dispatcher import Dispatcher
from cluster.dispatch.journal import Journal
from cluster.dispatch.tickets import Ticket
from cluster.events import StepEnded, VideoChanged, VideoPhase
from cluster.fleet.values import Fleet, RenderWork, ScanWork
from cluster.scheduling.values import Unit, Video
from pipeline.index import SourceIndex
from pipeline.part import Part
from pipeline.pool import Decision, Progress, Step
from pipeline.segments import ScanUnit
from pipeline.stages import Stopped
from pipeline.work import Decoding, Lease, UnitWork
from tasks.runtime.choice import Machine
from tasks.task import TaskSpec

#: The phase that a video enters with a step.
_PHASES: dict[str, VideoPhase] = {"plan_render": "probing", "stitch_output": "stitching"}


class VideoPool:
    """Implements `pipeline.pool.Pool` for one video of a run."""

    def __init__(
        self, dispatcher: Dispatcher, fleet: Fleet, journal: Journal, video: Video, progress: Progress
    ) -> None:
        self._dispatcher = dispatcher
        self._fleet = fleet
        self._journal = journal
        self._video = video
        self._progress = progress
        self._stopped = threading.Event()
        self._ticket: Ticket | None = None
        self._decided: list[Decision] = []

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return (*self._fleet.decisions, *self._decided)

    @property
    def device_class(self) -> str:
        return self._fleet.device_class

    @property
    def machine(self) -> Machine:
        return self._fleet.machine

    def do(self, step: Step, *arguments: object) -> Any:
        if step.__name__ in _PHASES:
            self._enter(_PHASES[step.__name__])
        begun = time.monotonic()
        answer, worker = self._fleet.do(step, *arguments, stopped=self._stopped.is_set)
        self._journal.tell(StepEnded, self._video.name, step.__name__, worker, time.monotonic() - begun)
        return answer

    def measure(
        self, index: SourceIndex, spec: TaskSpec, works: Sequence[UnitWork], decoding: Decoding
    ) -> Iterator[ScanUnit]:
        self._enter("scanning")
        by_number = {work.unit.number: work for work in works}

        def work_of(numbers: Sequence[int]) -> ScanWork:
            return ScanWork(index, spec, tuple(by_number[n] for n in numbers), decoding)

        units = [self._unit(index, "scan", w.unit.number, w.unit.end - w.unit.start) for w in works]
        yield from cast("Iterator[ScanUnit]", self._asked(index, units, work_of, index.frames * _megapixels(index)))

    def render(self, index: SourceIndex, specs: Sequence[TaskSpec], leases: Sequence[Lease]) -> Iterator[Part]:
        if not leases:
            return
        by_number = {work.segment.number: work for lease in leases for work in lease.works}
        frames = sum(len(work.segment) for work in by_number.values())
        self._enter("rendering", frames=frames, segments=len(by_number))

        def work_of(numbers: Sequence[int]) -> RenderWork:
            lease = replace(leases[0], works=tuple(by_number[n] for n in sorted(numbers)))
            return RenderWork(index, tuple(specs), lease)

        units = [self._unit(index, "render", n, len(work.segment)) for n, work in sorted(by_number.items())]
        yield from cast("Iterator[Part]", self._asked(index, units, work_of, 0.0))

    def _unit(self, index: SourceIndex, work: Any, number: int, frames: int) -> Unit:
        return Unit(self._video.name, work, number, frames, frames * _megapixels(index))

    def _asked(
        self, index: SourceIndex, units: Sequence[Unit], work_of: Callable[..., Any], later: float
    ) -> Iterator[Any]:
        ticket = Ticket(self._video, tuple(units), work_of, index.mode == "linear", later, self._progress)
        self._ticket = ticket
        if self._stopped.is_set():  # Before `close` could see the ticket.
            raise Stopped
        self._dispatcher.ask(ticket)
        try:
            yield from ticket.collected()
        except BaseException:
            self._dispatcher.withdraw(self._video.name)
            raise
        finally:
            self._decided += ticket.decisions

    def _enter(self, phase: VideoPhase, **more: Any) -> None:
        if self._stopped.is_set():
            raise Stopped
        self._journal.tell(VideoChanged, self._video.name, phase, **more)

    def close(self) -> None:
        """The journey is to end: whatever it waits for raises Stopped."""
        self._stopped.set()
        if self._ticket is not None:
            self._ticket.stop()


def _megapixels(index: SourceIndex) -> float:
    return index.format.width * index.format.height / 1e6
