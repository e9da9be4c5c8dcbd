"""The state of a run of many videos: a fold over its events, with little work an event and no clock of its own."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from cluster.events import (
    CellDraining,
    CellStarted,
    CellStopped,
    Event,
    FramesPassed,
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
from cluster.report.bins import Bins, Recent
from cluster.report.cells import Cells
from cluster.report.lanes import Lanes, Span
from cluster.report.videos import Videos

Key = TypeVar("Key", bound=Hashable)

#: Different choices, and kinds of failed attempts, that are kept apart.
_KEPT = 1000


@dataclass(slots=True)
class Tally:
    """Things of one kind: how many, and the latest of them."""

    count: int = 0
    seconds: float = 0.0
    latest: str = ""
    video: str = ""
    worker: str = ""


class RunState:
    """What is known of a run after the events it took; `now` is the time of the latest.

    Memory grows with videos and cells; spans and curves are merged beyond a fixed number.
    """

    def __init__(self) -> None:
        self.began: RunBegan | None = None
        self.ended: RunEnded | None = None
        self.now = 0.0
        self.videos = Videos()
        self.cells = Cells()
        self.frames: Counter[str] = Counter()
        "Of units done, by work."
        self.units: Counter[str] = Counter()
        self.bytes = 0
        "Of parts committed."
        self.outcomes: Counter[str] = Counter()
        "Of leases that ended: done | failed | cancelled | lost."
        self.leases = 0
        self.duplicates, self.duplicates_done = 0, 0
        "Leases that speculated on the tail of another, and those of them that ended with all of it done."
        self.cpu_seconds = 0.0
        "Of the workers of leases."
        self.retries: dict[tuple[str, str, str], Tally] = {}
        "Leases that failed or were lost, by (kind, stage, outcome)."
        self.choices: dict[tuple[str, str, str], Tally] = {}
        "By (what, choice, reason)."
        self.steps: dict[str, Tally] = {}
        "Outside cells, by step."
        self.step_lanes = Lanes(limit=5000)
        self.curves = {"render": Bins(), "scan": Bins()}
        self.first_lease_at: float | None = None
        self.last_unit_at = 0.0
        self._recent = {"render": Recent(), "scan": Recent()}
        self._passes_frames = False
        self._unit_since: dict[int, float] = {}
        "By lease in flight: when it began its present unit."
        self._take: dict[type[Event], Callable[[Any], object]] = {
            RunBegan: self._begin, RunEnded: self._end, VideoChanged: self.videos.change,
            CellStarted: self.cells.start, CellDraining: self.cells.drain, CellStopped: self._stop_cell,
            LeaseBegan: self._begin_lease, LeaseEnded: self._end_lease, UnitDone: self._unit_done,
            StepEnded: self._end_step, SlotsIdle: self.cells.stand_idle, Noted: self._note,
            FramesPassed: self._pass_frames,
        }  # fmt: skip

    def take(self, event: Event) -> None:
        """The next event; one of an unknown kind, or late, does no harm."""
        if event.at > self.now:
            self.cells.pass_time(self.now, event.at)
            self.now = event.at
        if (take := self._take.get(type(event))) is not None:
            take(event)

    @property
    def status(self) -> str:
        """`running` where no event told its end: the driver may be gone."""
        return self.ended.status if self.ended else "running"

    @property
    def frames_per_second(self) -> float:
        """Rendered frames over the time from the first lease to the latest unit; start-up left out."""
        seconds = self.last_unit_at - (self.first_lease_at or 0.0)
        return self.frames["render"] / seconds if seconds > 0 else 0.0

    def recent_rate(self, work: str, now: float | None = None) -> float:
        """Frames a second over the last half minute, of render or scan."""
        return self._recent[work].rate(self.now if now is None else now)

    def remaining_seconds(self, now: float | None = None) -> float | None:
        """By the recent speed and the frames left; None where they are unknown."""
        rate, left = self.recent_rate("render", now) or self.frames_per_second, self.videos.frames_left
        return None if left is None or not rate else left / rate

    def _begin(self, event: RunBegan) -> None:
        self.began = event
        self.videos.announced = event.videos

    def _end(self, event: RunEnded) -> None:
        self.ended = event

    def _begin_lease(self, event: LeaseBegan) -> None:
        self.cells.begin_lease(event)
        self.leases += 1
        self.duplicates += event.duplicate_of is not None
        self._unit_since[event.attempt] = event.at
        if self.first_lease_at is None:
            self.first_lease_at = event.at
        if (video := self.videos.by_name.get(event.video)) is not None:
            video.leases += 1

    def _end_lease(self, event: LeaseEnded) -> None:
        lease = self.cells.end_lease(event)
        self._unit_since.pop(event.attempt, None)
        if lease is None:
            return
        self.cpu_seconds += event.cpu_seconds
        self.outcomes[event.outcome] += 1
        self.duplicates_done += lease.duplicate_of is not None and event.outcome == "done"
        if event.outcome not in ("failed", "lost"):
            return
        failed = _tallied(self.retries, (event.kind, event.stage, event.outcome))
        failed.latest, failed.video, failed.worker = event.message[:500], lease.video, event.worker or lease.cell
        if (video := self.videos.by_name.get(lease.video)) is not None:
            video.failed_leases += 1

    def _stop_cell(self, event: CellStopped) -> None:
        for number in self.cells.leases_on(event.cell):
            self._end_lease(LeaseEnded(event.at, number, "lost", kind="WorkerLost", message=event.reason))
        self.cells.stop(event)

    def _unit_done(self, event: UnitDone) -> None:
        lease = self.cells.open.get(event.attempt)
        start = self._unit_since.get(event.attempt, event.at)
        self._unit_since[event.attempt] = event.at
        if event.work in self.curves:
            self.curves[event.work].add(start, event.at, event.frames)
        if not self._passes_frames:
            self._add_recent(event.work, event.at, event.frames, start)
        self.frames[event.work] += event.frames
        self.units[event.work] += 1
        self.bytes += event.bytes
        self.last_unit_at = event.at
        if lease is not None:
            self.cells.by_name[lease.began.cell].frames += event.frames
        if event.work == "render":
            self.videos.unit_done(event.video, event.frames)

    def _pass_frames(self, event: FramesPassed) -> None:
        self._passes_frames = True
        self._add_recent(event.work, event.at, event.frames, event.at)

    def _add_recent(self, work: str, at: float, frames: int, since: float) -> None:
        if work in self._recent:
            self._recent[work].add(at, frames, since)

    def _end_step(self, event: StepEnded) -> None:
        tally = _tallied(self.steps, event.step)
        tally.seconds += event.seconds
        self.step_lanes.add_beside(
            event.worker, Span(max(0.0, event.at - event.seconds), event.at, event.step, video=event.video)
        )

    def _note(self, event: Noted) -> None:
        tally = _tallied(self.choices, (event.what, event.choice, event.reason))
        tally.video = event.video


def _tallied(tallies: dict[Key, Tally], key: Key) -> Tally:
    """The tally of `key`, counted up; beyond a fixed number of kinds one that nobody keeps."""
    tally = tallies.get(key) or Tally()
    if len(tallies) < _KEPT:
        tallies[key] = tally
    tally.count += 1
    return tally


def folded(events: Iterable[Event]) -> RunState:
    """The state after these events."""
    state = RunState()
    for event in events:
        state.take(event)
    return state
