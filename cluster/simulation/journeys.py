"""The way of each simulated video, from probe to stitch; what cells do not do, side workers do."""

import heapq
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from cluster.scheduling.scheduler import Scheduler
from cluster.scheduling.values import Unit
from cluster.simulation.values import VideoLoad


class _Clock(Protocol):
    @property
    def now(self) -> float: ...

    def after(self, seconds: float, happen: Callable[[], None]) -> None: ...


class Journeys:
    """All videos of a run; those begun go before those not probed yet, in the order of their priorities."""

    def __init__(self, loads: Sequence[VideoLoad], side_workers: int, scheduler: Scheduler, clock: _Clock) -> None:
        self.loads = {load.video.name: load for load in loads}
        self.done_at: dict[str, float] = {}
        self.failed: list[str] = []
        self._scheduler = scheduler
        self._clock = clock
        self._free = side_workers
        self._queue: list[tuple[bool, int, int, float, Callable[[], None]]] = []
        self._asked = 0
        self._left: dict[str, int] = {}

    @property
    def finished(self) -> bool:
        return len(self.done_at) + len(self.failed) == len(self.loads)

    def begin(self) -> None:
        for load in self.loads.values():
            self._step(load, load.probe_seconds, self._probed, begun=False)

    def unit_done(self, unit: Unit) -> None:
        self._left[unit.video] -= 1
        if self._left[unit.video]:
            return
        load = self.loads[unit.video]
        if unit.work == "scan":
            self._step(load, load.conclude_seconds, self._add_render)
        else:
            self._step(load, load.stitch_seconds, self._stitched)

    def give_up(self, video: str) -> None:
        self._scheduler.withdraw(video, self._clock.now)
        self.failed.append(video)

    def _step(self, load: VideoLoad, seconds: float, then: Callable[[VideoLoad], None], *, begun: bool = True) -> None:
        """Seconds of a side worker, then what follows."""
        self._asked += 1
        follow: Callable[[], None] = partial(then, load)
        heapq.heappush(self._queue, (not begun, -load.video.priority, self._asked, seconds, follow))
        self._take()

    def _take(self) -> None:
        while self._free and self._queue:
            *_, seconds, follow = heapq.heappop(self._queue)
            self._free -= 1
            self._clock.after(seconds, partial(self._end, follow))

    def _end(self, follow: Callable[[], None]) -> None:
        self._free += 1
        follow()
        self._take()

    def _probed(self, load: VideoLoad) -> None:
        if not load.scan:
            self._add_render(load)
            return
        self._left[load.video.name] = len(load.scan)
        later = sum(unit.megapixels for unit in load.render)
        self._scheduler.add(load.video, load.scan, self._clock.now, together=load.together, later_megapixels=later)

    def _add_render(self, load: VideoLoad) -> None:
        self._left[load.video.name] = len(load.render)
        self._scheduler.add(load.video, load.render, self._clock.now, together=load.together)

    def _stitched(self, load: VideoLoad) -> None:
        self.done_at[load.video.name] = self._clock.now
