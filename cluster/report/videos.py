"""The videos of a run: in which phase each is, and how many frames are left to do."""

from collections import Counter
from dataclasses import dataclass

from cluster.events import FINAL_PHASES, VideoChanged

#: Phases that ended otherwise than asked.
UNSUCCESSFUL = ("failed", "refused", "stopped")


@dataclass(slots=True)
class VideoState:
    """One video, as of the latest event."""

    name: str
    phase: str = "waiting"
    source: str = ""
    output: str = ""
    frames: int = 0
    segments: int = 0
    resumed: int = 0
    duration_seconds: float = 0.0
    message: str = ""
    kind: str = ""
    remedy: str = ""
    began_at: float | None = None
    "When it left the queue."
    ended_at: float | None = None
    frames_done: int = 0
    "Rendered in this run."
    segments_done: int = 0
    leases: int = 0
    failed_leases: int = 0

    @property
    def over(self) -> bool:
        return self.phase in FINAL_PHASES

    @property
    def frames_left(self) -> float:
        """0 once it is over; what an earlier run rendered is taken by segments."""
        if self.over or not self.frames:
            return 0.0
        resumed = self.frames * self.resumed / self.segments if self.segments else 0.0
        return max(0.0, self.frames - resumed - self.frames_done)

    @property
    def seconds(self) -> float | None:
        """From leaving the queue to its end."""
        return self.ended_at - self.began_at if self.ended_at is not None and self.began_at is not None else None


class Videos:
    """All videos by name; counts are kept up with each event."""

    def __init__(self) -> None:
        self.by_name: dict[str, VideoState] = {}
        self.phases: Counter[str] = Counter()
        self.announced = 0
        "Of the manifest, as the run began."
        self._frames_left = 0.0
        self._known_frames, self._known, self._open_known = 0, 0, 0

    @property
    def total(self) -> int:
        return max(len(self.by_name), self.announced)

    @property
    def finished(self) -> int:
        return sum(self.phases[phase] for phase in FINAL_PHASES)

    @property
    def unsuccessful(self) -> int:
        return sum(self.phases[phase] for phase in UNSUCCESSFUL)

    @property
    def waiting(self) -> int:
        """In the queue, those that no event named yet among them."""
        return self.phases["waiting"] + self.total - len(self.by_name)

    @property
    def frames_left(self) -> float | None:
        """Of all videos, those of unknown length taken as the mean of the known; None where none is known."""
        if not self._known:
            return 0.0 if self.finished == self.total else None
        unknown = max(0, self.total - self.finished - self._open_known)
        return self._frames_left + unknown * self._known_frames / self._known

    def change(self, event: VideoChanged) -> VideoState:
        """The video as it is now; what the event leaves empty is kept."""
        video = self.by_name.get(event.video)
        if video is None:
            video = self.by_name[event.video] = VideoState(event.video)
            self.phases[video.phase] += 1
        self._count(video, -1)
        self.phases[video.phase] -= 1
        _update(video, event)
        self.phases[video.phase] += 1
        self._count(video, 1)
        return video

    def unit_done(self, name: str, frames: int) -> None:
        """A segment of the video was committed."""
        if (video := self.by_name.get(name)) is not None:
            self._frames_left -= video.frames_left
            video.frames_done += frames
            video.segments_done += 1
            self._frames_left += video.frames_left

    def _count(self, video: VideoState, sign: int) -> None:
        self._frames_left += sign * video.frames_left
        if video.frames:
            self._known += sign
            self._known_frames += sign * video.frames
            self._open_known += sign * (not video.over)


def _update(video: VideoState, event: VideoChanged) -> None:
    video.phase = event.phase
    for name in ("source", "output", "frames", "segments", "resumed", "duration_seconds", "message", "kind", "remedy"):
        if value := getattr(event, name):
            setattr(video, name, value)
    if event.phase != "waiting" and video.began_at is None:
        video.began_at = event.at
    video.ended_at = event.at if video.over else None
