"""What goes on in a run: totals and frames by stage, told to whoever watches; knows no terminal."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.index import SourceIndex
from pipeline.part import Part
from pipeline.pool import Decision, Pool, Step
from pipeline.run_report import StageSpan
from pipeline.segments import ScanUnit
from pipeline.work import Decoding, Lease, UnitWork
from tasks.runtime.choice import Machine
from tasks.task import TaskSpec

log = logging.getLogger("reelyard")


class RunWatch:
    """Frames done and to do by stage, the first frame, and when each segment was finished."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self.first_frame_seconds: float | None = None
        "From the start of the run to the first frame out of the encoder."
        self.totals: dict[str, int] = {}
        self.done: dict[str, int] = {}
        self.spans: list[StageSpan] = []
        self.committed = 0
        self.listener: Callable[[str, int, int], None] = lambda stage, done, total: None
        self._lock = threading.Lock()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def expect(self, stage: str, frames: int) -> None:
        with self._lock:
            self.totals[stage] = self.totals.get(stage, 0) + frames
            self.done.setdefault(stage, 0)
        self._tell(stage)

    def progress(self, stage: str, frames: int) -> None:
        """`pipeline.pool.Progress`; called from any thread."""
        with self._lock:
            self.done[stage] = self.done.get(stage, 0) + frames
            if stage == "render" and self.first_frame_seconds is None:
                self.first_frame_seconds = self.seconds
                log.info("first frame rendered %.1f s after the start of the run", self.first_frame_seconds)
        self._tell(stage)

    def _tell(self, stage: str) -> None:
        self.listener(stage, self.done.get(stage, 0), self.totals.get(stage, 0))


class WatchedPool:
    """A pool that tells a RunWatch what it was given and what came of it."""

    def __init__(self, pool: Pool, watch: RunWatch) -> None:
        self._pool = pool
        self._watch = watch

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return self._pool.decisions

    @property
    def device_class(self) -> str:
        return self._pool.device_class

    @property
    def machine(self) -> Machine:
        return self._pool.machine

    def do(self, step: Step, *arguments: object) -> Any:
        return self._pool.do(step, *arguments)

    def measure(
        self, index: SourceIndex, spec: TaskSpec, works: Sequence[UnitWork], decoding: Decoding
    ) -> Iterator[ScanUnit]:
        self._watch.expect("scan", sum(work.unit.end - work.unit.start for work in works))
        return self._pool.measure(index, spec, works, decoding)

    def render(self, index: SourceIndex, specs: Sequence[TaskSpec], leases: Sequence[Lease]) -> Iterator[Part]:
        frames = sum(len(work.segment) for lease in leases for work in lease.works)
        if frames:
            self._watch.expect("render", frames)
        begun = self._watch.seconds
        for part in self._pool.render(index, specs, leases):
            self._watch.committed += 1
            now = self._watch.seconds
            # Two leases are in flight: without its own clock a segment began when the last but one ended.
            ends = [span.end_seconds for span in self._watch.spans]
            since = sorted(ends)[-2] if len(ends) > 1 else begun
            start = max(begun, now - part.seconds["wall"]) if "wall" in part.seconds else since
            self._watch.spans.append(StageSpan(f"segment {part.segment}", start, now, part.worker))
            yield part

    def close(self) -> None:
        self._pool.close()
