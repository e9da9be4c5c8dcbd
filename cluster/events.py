"""What happens in a run, as values in order; log, live table, report and metrics are folds over them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

VideoPhase = Literal[
    "waiting", "probing", "scanning", "rendering", "stitching", "rendered", "already done", "duplicate",
    "refused", "failed", "stopped",
]  # fmt: skip
#: Phases that a video does not leave again.
FINAL_PHASES = ("rendered", "already done", "duplicate", "refused", "failed", "stopped")


@dataclass(frozen=True)
class Event:
    """`at` is seconds from the start of the run."""

    at: float


@dataclass(frozen=True)
class RunBegan(Event):
    videos: int
    started_utc: str
    "ISO 8601, seconds."
    command: str
    "As a person would type it to go on."


@dataclass(frozen=True)
class RunEnded(Event):
    status: str
    "rendered | partial | failed | stopped"


@dataclass(frozen=True)
class CellStarted(Event):
    cell: str
    node: str
    kind: str
    slots: int


@dataclass(frozen=True)
class CellDraining(Event):
    cell: str
    deadline_seconds: float
    "Seconds left until its node goes."


@dataclass(frozen=True)
class CellStopped(Event):
    cell: str
    reason: str


@dataclass(frozen=True)
class VideoChanged(Event):
    """A video entered a phase."""

    video: str
    phase: VideoPhase
    source: str = ""
    output: str = ""
    frames: int = 0
    "Of the output, once known."
    segments: int = 0
    resumed: int = 0
    "Segments that an earlier run had rendered."
    duration_seconds: float = 0.0
    message: str = ""
    "Of the error where it was refused or failed; what was kept by reason, notes."
    kind: str = ""
    "Class of the error."
    remedy: str = ""
    "A command that reproduces the failure alone."


@dataclass(frozen=True)
class LeaseBegan(Event):
    attempt: int
    cell: str
    video: str
    work: str
    "scan | render"
    units: tuple[int, ...]
    frames: int
    duplicate_of: int | None = None
    on_cpu: bool = False


@dataclass(frozen=True)
class LeaseEnded(Event):
    attempt: int
    outcome: str
    "done | failed | cancelled | lost"
    stage: str = ""
    worker: str = ""
    kind: str = ""
    message: str = ""
    cpu_seconds: float = 0.0


@dataclass(frozen=True)
class UnitDone(Event):
    """A segment was committed, or a scan unit measured."""

    attempt: int
    video: str
    work: str
    number: int
    frames: int
    bytes: int = 0


@dataclass(frozen=True)
class StepEnded(Event):
    """A step of one video outside cells (probe, voice, conclude, stitch …); `at` is its end."""

    video: str
    step: str
    worker: str
    seconds: float


@dataclass(frozen=True)
class SlotsIdle(Event):
    """Slots of a cell stood free for `slot_seconds` until `at`, for this reason."""

    cell: str
    reason: str
    slot_seconds: float


@dataclass(frozen=True)
class Noted(Event):
    """A choice that was made, and why (pipeline.pool.Decision), or a retry; `video` empty for the run."""

    what: str
    choice: str
    reason: str
    video: str = ""


@dataclass(frozen=True)
class FramesPassed(Event):
    """Frames that went through encoders or scans since the last; too frequent for the log."""

    work: str
    frames: int
    video: str = ""
    attempt: int = 0


#: Called in order, from one thread at a time.
Listener = Callable[[Event], None]


def as_row(event: Event) -> dict[str, object]:
    """The event in plain types, its name first: one line of the event log."""
    return {"event": type(event).__name__, **vars(event)}
