"""What a run says of itself: every count, every choice and its reason; the cluster writes it out."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.part import Part
from pipeline.pool import Decision
from pipeline.quality import Verdict
from tasks.task import Shown


@dataclass(frozen=True)
class StageSpan:
    """One stage of the run on the wall clock, seconds from the start of the run."""

    name: str
    "probe | voice | scan | render | stitch, or a segment"
    start_seconds: float
    end_seconds: float
    worker: str = ""


@dataclass(frozen=True)
class RunReport:
    """One render, as it went."""

    job_key: str
    source: str
    output: str
    status: str
    "rendered | already done | quarantined"
    source_facts: Mapping[str, object] = field(default_factory=dict)
    timeline: Mapping[str, object] = field(default_factory=dict)
    encode: Mapping[str, object] = field(default_factory=dict)
    tasks: tuple[Mapping[str, object], ...] = ()
    "One for each task: name, options, facts, frames kept by reason."
    decisions: tuple[Decision, ...] = ()
    notes: tuple[str, ...] = ()
    "What was converted, dropped or could not be kept, in words."
    counts: Mapping[str, int] = field(default_factory=dict)
    "frames, repeated, segments, segments resumed, bytes read …"
    parts: tuple[Part, ...] = ()
    stages: tuple[StageSpan, ...] = ()
    wall_seconds: float = 0.0
    frames_per_second: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    shown: tuple[Shown, ...] = ()
    "Small pictures for the page: who was found, and examples of frames that were left alone."
    quality: Verdict = field(default_factory=Verdict)
    "Of what was drawn, where that was asked for."
    put_aside: str = ""
    "Where an output lies that falls short of its gate; nothing lies at `output` then."


@dataclass
class Clock:
    """Stages of the run on the wall clock."""

    started: float = field(default_factory=time.monotonic)
    spans: list[StageSpan] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begun = time.monotonic() - self.started
        yield
        self.spans.append(StageSpan(name, begun, time.monotonic() - self.started))

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started
