"""Which video is next: priority, then the job that had least of its share, then the longest video.

A video that was begun goes on before another one is begun: cells work on few videos at a time, so videos
finish all along the run and not all at its end.  Among those begun, one that a cell's node has read already is
preferred; of those not begun, the one with most left to do is first.
"""

import bisect
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from cluster.scheduling.state import Bundle, VideoState, key_of
from cluster.scheduling.values import Unit, Work

#: Of the videos begun, so many are looked at for one that the cell's node knows.
_LOOKED_AT = 8


@dataclass(eq=False, slots=True)
class Line:
    """Ready videos of one job and one recipe."""

    recipe: str
    begun: dict[str, VideoState] = field(default_factory=dict)
    waiting: list[tuple[float, int, VideoState]] = field(default_factory=list)
    "A heap by what is left; entries that do not hold any more are dropped when met."

    def put(self, video: VideoState) -> None:
        if video.started:
            self.begun[video.video.name] = video
        else:
            heapq.heappush(self.waiting, (-video.remaining, video.index, video))

    def head(self, node: str) -> VideoState | None:
        """The next video for a cell of this node; one with something ready."""
        if self.begun:
            if len(self.begun) == 1:
                return next(iter(self.begun.values()))
            looked_at = islice(self.begun.values(), _LOOKED_AT)
            return max(looked_at, key=lambda v: (node in v.nodes, v.remaining, -v.index))
        while self.waiting:
            left, _, video = self.waiting[0]
            if video.ready and not video.started and -left == video.remaining:
                return video
            heapq.heappop(self.waiting)
        return None


@dataclass(eq=False, slots=True)
class Job:
    """A class of videos that gets a share."""

    name: str
    served: float = 0.0
    "Served seconds over weight: the job that has least is next."
    ready: int = 0
    "Bundles."
    running: int = 0
    "Attempts."
    lines: dict[str, Line] = field(default_factory=dict)

    def line(self, recipe: str) -> Line:
        line = self.lines.get(recipe)
        if line is None:
            line = self.lines[recipe] = Line(recipe)
        return line

    def heads(self, node: str) -> Iterator[tuple[Line, VideoState]]:
        for recipe in list(self.lines):
            head = self.lines[recipe].head(node)
            if head is None:
                del self.lines[recipe]
            else:
                yield self.lines[recipe], head


@dataclass(eq=False)
class Level:
    """All jobs of one priority."""

    priority: int
    order: "Order"
    jobs: dict[str, Job] = field(default_factory=dict)
    units: int = 0
    "Ready ones."
    megapixels: dict[tuple[str, Work], float] = field(default_factory=dict)
    "Ready ones, by recipe and work."
    marked: list[tuple[VideoState, Bundle]] = field(default_factory=list)
    "Ready ones that not every cell may take, in the order in which they failed."
    _clock: float = 0.0
    "What the job that was chosen last had been served."
    _turns: list[tuple[float, str]] = field(default_factory=list)

    def put(self, video: VideoState, bundles: Sequence[Bundle]) -> None:
        """Make units ready."""
        job = self.job(video.video.job)
        if not job.ready:
            if not job.running:
                # Whoever was away has no claim on what the others had meanwhile.
                job.served = max(job.served, self._clock)
            heapq.heappush(self._turns, (job.served, job.name))
        job.ready += len(bundles)
        for bundle in bundles:
            self._count(video, bundle, 1)
            video.push(bundle)
        job.line(video.video.recipe).put(video)

    def mark(self, video: VideoState, bundle: Bundle) -> None:
        """Make units ready that not every cell may take."""
        self._count(video, bundle, 1)
        self.marked.append((video, bundle))

    def job(self, name: str) -> Job:
        job = self.jobs.get(name)
        if job is None:
            job = self.jobs[name] = Job(name)
        return job

    def taken(self, video: VideoState, bundle: Bundle) -> None:
        """A bundle was popped from `video.ready`."""
        self._count(video, bundle, -1)
        job = self.jobs[video.video.job]
        job.ready -= 1
        if not video.ready and (line := job.lines.get(video.video.recipe)):
            line.begun.pop(video.video.name, None)

    def began(self, video: VideoState) -> None:
        """The video's first lease was made."""
        if video.ready:
            self.job(video.video.job).line(video.video.recipe).put(video)

    def unmark(self, place: int) -> None:
        video, bundle = self.marked.pop(place)
        self._count(video, bundle, -1)

    def drop(self, video: VideoState) -> None:
        """Forget all that is ready of a video."""
        while video.ready:
            self.taken(video, heapq.heappop(video.ready)[2])
        for place in reversed([i for i, entry in enumerate(self.marked) if entry[0] is video]):
            self.unmark(place)

    def charge(self, name: str, seconds: float, attempts: int) -> None:
        """A job got so many served seconds over its weight, and so many attempts more are in flight."""
        job = self.job(name)
        if attempts > 0:
            self._clock = max(self._clock, job.served)
        job.running += attempts
        job.served += seconds
        if job.ready:
            heapq.heappush(self._turns, (job.served, name))
            if len(self._turns) > 4 * len(self.jobs) + 64:
                self._turns = [(job.served, job.name) for job in self.jobs.values() if job.ready]
                heapq.heapify(self._turns)

    def first(self) -> Job | None:
        """The job with something ready that has had least."""
        while self._turns:
            served, name = self._turns[0]
            job = self.jobs[name]
            if job.ready and job.served == served:
                return job
            heapq.heappop(self._turns)
        return None

    def _count(self, video: VideoState, bundle: Bundle, sign: int) -> None:
        count = len(bundle)
        self.units += sign * count
        self.order.units += sign * count
        kind = video.video.recipe, bundle[0].work
        change = bundle[0].megapixels if count == 1 else sum(unit.megapixels for unit in bundle)
        self.megapixels[kind] = self.megapixels.get(kind, 0.0) + sign * change


class Order:
    """Everything that is ready, by priority."""

    def __init__(self) -> None:
        self._levels: dict[int, Level] = {}
        self._priorities: list[int] = []
        self.units = 0
        "Ready ones."

    def level(self, priority: int) -> Level:
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = Level(priority, self)
            bisect.insort(self._priorities, -priority)
        return level

    def levels(self) -> Iterator[Level]:
        """Those with something ready, highest first."""
        for negative in self._priorities:
            level = self._levels[-negative]
            if level.units:
                yield level


def pop_lease(video: VideoState, level: Level, target_seconds: float, most: int, rate: float) -> tuple[Unit, ...]:
    """The next units of a video for one lease: consecutive ones, until they take `target_seconds` or are `most`."""
    bundle = _pop(video, level)
    if key_of(bundle[0]) in video.together:
        return bundle
    units, seconds = [bundle[0]], bundle[0].megapixels * rate
    while len(units) < most and seconds < target_seconds and video.ready:
        following = video.ready[0][2][0]
        consecutive = following.work == units[0].work and following.number == units[-1].number + 1
        if not consecutive or key_of(following) in video.together:
            break
        _pop(video, level)
        units.append(following)
        seconds += following.megapixels * rate
    return tuple(units)


def _pop(video: VideoState, level: Level) -> Bundle:
    bundle: Bundle = heapq.heappop(video.ready)[2]
    level.taken(video, bundle)
    return bundle
