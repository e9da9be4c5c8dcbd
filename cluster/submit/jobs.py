"""Jobs of a cluster as plain values: their names, which of them is meant, and what comes after them; no Ray here.

A job is named by its content: `reelyard-<hash>-<attempt>`.  Ray runs a job once and never again,
so the same content after an end is the next attempt, which resumes from what lies in storage.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tasks.errors import JobError

_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_NAME = re.compile(r"^reelyard-([0-9a-f]{12})-(\d+)$")
#: How many jobs an error lists.
_LISTED = 10


@dataclass(frozen=True)
class SubmittedJob:
    """A job as the cluster tells of it."""

    id: str
    status: str
    "PENDING | RUNNING | STOPPED | SUCCEEDED | FAILED"
    entrypoint: str = ""
    message: str = ""
    started_seconds: float | None = None
    "Unix time."
    ended_seconds: float | None = None
    driver_exit_code: int | None = None
    "None where the driver never ended by itself."
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status in _ENDED

    @property
    def ours(self) -> bool:
        return _NAME.match(self.id) is not None


@dataclass(frozen=True)
class Step:
    """What a submit does: follow a job that runs, or start one under a new name."""

    id: str
    running: SubmittedJob | None = None
    before: SubmittedJob | None = None
    "The attempt before a new one."


def content_hash(arguments: Sequence[str]) -> str:
    """12 hex digits of a command in its canonical spelling."""
    return hashlib.sha256(json.dumps(list(arguments)).encode()).hexdigest()[:12]


def next_step(content: str, jobs: Sequence[SubmittedJob]) -> Step:
    """The attempt of this content that runs, else the one after the last."""
    attempts = sorted((int(match[2]), job) for job in jobs if (match := _NAME.match(job.id)) and match[1] == content)
    if not attempts:
        return Step(f"reelyard-{content}-1")
    number, last = attempts[-1]
    if not last.ended:
        return Step(last.id, running=last)
    return Step(f"reelyard-{content}-{number + 1}", before=last)


def find_job(asked: str | None, jobs: Sequence[SubmittedJob]) -> SubmittedJob:
    """The job of an id, of an id without its attempt (the last one), of the beginning of an id, or the latest of all.

    Raises:
        JobError: there is none, or several could be meant.
    """
    newest = sorted(jobs, key=_age)
    if asked is None:
        return _first([job for job in newest if job.ours], "no job of Reelyard on this cluster")
    exact = [job for job in newest if job.id == asked]
    if exact:
        return exact[0]
    meant = [job for job in newest if job.id.startswith(asked)]
    if not meant:
        raise JobError(f"job {asked}: not on this cluster; found {_listing(newest)}")
    if len({job.id.rpartition("-")[0] for job in meant}) > 1:
        raise JobError(f"job {asked}: could be {_listing(meant)}; write more of its id")
    return meant[0]


def running_job(asked: str | None, jobs: Sequence[SubmittedJob]) -> SubmittedJob:
    """As `find_job`; without an id the only one of ours that runs.

    Raises:
        JobError: none runs, or several do.
    """
    if asked is not None:
        return find_job(asked, jobs)
    running = sorted((job for job in jobs if job.ours and not job.ended), key=_age)
    if len(running) > 1:
        raise JobError(f"several jobs run: {_listing(running)}; say which one")
    return _first(running, "no job of Reelyard runs on this cluster")


def _first(jobs: Sequence[SubmittedJob], otherwise: str) -> SubmittedJob:
    if not jobs:
        raise JobError(f"{otherwise}; `reelyard submit render …` starts one")
    return jobs[0]


def _age(job: SubmittedJob) -> tuple[float, str]:
    return (-(job.started_seconds or 0.0), job.id)


def _listing(jobs: Sequence[SubmittedJob]) -> str:
    names = [f"{job.id} ({job.status})" for job in jobs[:_LISTED]]
    more = len(jobs) - len(names)
    return (", ".join(names) or "none") + (f" and {more} more" if more > 0 else "")
