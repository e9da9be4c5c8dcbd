"""Event streams of runs that never were, for what is told of runs: cells pull leases, some fail, nodes go."""

import heapq
import random
from collections.abc import Iterator
from itertools import count

from cluster.events import (
    CellDraining,
    CellStarted,
    CellStopped,
    Event,
    LeaseBegan,
    LeaseEnded,
    Noted,
    RunBegan,
    RunEnded,
    SlotsIdle,
    StepEnded,
    UnitDone,
    VideoChanged,
)

#: Seconds from the start at which the first cells are told to go, and are gone.
DRAINS, STOPS = 14.0, 20.0
REMEDY = "reelyard render s3://in/{name}.mp4 --task lip-sync -o /tmp/{name}.mp4 --in-process"


def run(
    cells: int = 3, videos: int = 12, segments: int = 6, *, seed: int = 0, losses: int = 1, ended: bool = True
) -> Iterator[Event]:
    """Events in order; video 2 fails, 3 is refused, 4 was there, one lease in fifty fails once, a node is lost."""
    return iter(sorted(_Made(cells, videos, segments, seed, losses).events(ended), key=lambda event: event.at))


class _Made:
    def __init__(self, cells: int, videos: int, segments: int, seed: int, losses: int) -> None:
        self.random = random.Random(seed)
        self.cells, self.videos, self.segments, self.losses = cells, videos, segments, losses
        self.attempts = count(1)
        self.ends: dict[int, float] = {}

    def events(self, ended: bool) -> Iterator[Event]:
        yield RunBegan(0.0, self.videos, "2026-11-21T12:00:00+00:00", "reelyard batch all.jsonl -o s3://out/")
        yield Noted(0.0, "place", "joined", "--address ray://head:10001")
        slots = []
        for number in range(self.cells):
            at = 2.0 + self.random.random()
            kind = "h100" if number % 4 else "l4"
            yield CellStarted(at, f"cell-{number}", f"10.0.0.{number // 4}", kind, 2)
            slots += [(at, number, slot) for slot in range(2)]
        heapq.heapify(slots)
        for video in range(self.videos):
            yield from self._video(video, slots)
        end = max(self.ends.values(), default=0.0) + 3.0
        for at, number, _ in sorted(slots):
            yield SlotsIdle(end, f"cell-{number}", "no work ready", (STOPS if number < self.losses else end) - at)
        for number in range(self.losses):
            yield CellDraining(DRAINS, f"cell-{number}", STOPS - DRAINS)
            yield CellStopped(STOPS, f"cell-{number}", "node 10.0.0.0 was lost")
        if ended:
            yield RunEnded(end, "partial")

    def _video(self, number: int, slots: list[tuple[float, int, int]]) -> Iterator[Event]:
        name = f"talk-{number:04d}"
        first = slots[0][0]
        source, output = f"s3://in/{name}.mp4", f"s3://out/{name}.mp4"
        yield VideoChanged(0.1, name, "waiting", source, output)
        yield VideoChanged(first, name, "probing")
        yield StepEnded(first + 0.4, name, "probe", f"side-{number % 2}", 0.4)
        if number == 3:
            yield VideoChanged(
                first + 0.4, name, "refused", kind="SourceError", message=f"{source}: <not> a video & more"
            )
        elif number == 4:
            yield VideoChanged(first + 0.5, name, "already done", frames=250 * self.segments, segments=self.segments)
        else:
            yield VideoChanged(first + 0.5, name, "rendering", frames=250 * self.segments, segments=self.segments)
            yield from self._leases(name, number, slots)

    def _leases(self, name: str, number: int, slots: list[tuple[float, int, int]]) -> Iterator[Event]:
        done = 0.0
        for first in range(0, self.segments, 2):
            units = tuple(range(first, min(first + 2, self.segments)))
            if number == 2 or self.random.random() < 0.02:
                yield from self._lease(name, units, slots, failing=True)
            if number != 2:
                yield from self._lease(name, units, slots)
            done = max(done, *self.ends.values()) if self.videos < 100 else slots[0][0] + 20.0
        if number == 2:
            words = "segment 0 failed on 2 workers: OutOfVram: needs 9.1 GB, free 6.0 GB"
            yield VideoChanged(done, name, "failed", message=words, kind="OutOfVram", remedy=REMEDY.format(name=name))
            return
        yield VideoChanged(done, name, "stitching")
        yield StepEnded(done + 1.0, name, "stitch", f"side-{number % 2}", 1.0)
        yield VideoChanged(done + 1.0, name, "rendered")

    def _lease(
        self, name: str, units: tuple[int, ...], slots: list[tuple[float, int, int]], failing: bool = False
    ) -> Iterator[Event]:
        at, cell, slot = heapq.heappop(slots)
        while cell < self.losses and at >= DRAINS:
            at, cell, slot = heapq.heappop(slots)
        attempt = next(self.attempts)
        yield LeaseBegan(at, attempt, f"cell-{cell}", name, "render", units, 250 * len(units))
        pace = (8.0 if cell % 4 == 0 else 4.0) * (0.8 + 0.4 * self.random.random())
        if cell < self.losses and at + pace * len(units) > STOPS:
            self.ends[attempt] = STOPS
            yield from self._lease(name, units, slots)
            return
        if failing:
            end = at + pace / 2
            yield LeaseEnded(end, attempt, "failed", "render", f"gpu-{cell}", "OutOfVram", "needs 9.1 GB, free 6.0 GB")
        else:
            end = at + pace * len(units)
            for place, unit in enumerate(units, 1):
                yield UnitDone(at + pace * place, attempt, name, "render", unit, 250, 10**6)
            yield LeaseEnded(end, attempt, "done")
        self.ends[attempt] = end
        heapq.heappush(slots, (end + 0.05, cell, slot))
