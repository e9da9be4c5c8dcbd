"""A first look at a job, ahead of its rendering: how much there is to do, and whether another job shows the same."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.job import RenderJob
from pipeline.ledger import Ledger
from pipeline.steps import plan_render
from pipeline.storage import Storage


@dataclass(frozen=True)
class Look:
    """What is known of a video before its turn."""

    frames: int
    megapixels: float
    duration_seconds: float
    segments: int
    done: bool = False
    "The output is there already, and nothing is left of the run that made it."
    content: str = ""
    "Equal for sources of equal packets and bytes, whatever they are called; empty where it was not looked at."


def look_at(storage: Storage, scratch: Path, job: RenderJob) -> Look:
    """The look; what is wrong with the request or the source is found here.

    Raises:
        JobError, SourceError, ResourceShortage: as `pipeline.steps.plan_render`.
    """
    plan, done = plan_render(storage, scratch, job)
    if done and job.work is None and not job.keep_parts:
        Ledger(storage, plan.prefix).clear_all()
    frames, format = len(plan.timeline), plan.index.format
    seconds = float(plan.timeline.duration_seconds)
    return Look(frames, frames * format.width * format.height / 1e6, seconds, len(plan.segments), done, plan.content)
