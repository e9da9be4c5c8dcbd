"""A job's log followed to its end, over connections that come and go, each piece shown once."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from cluster.submit.jobs import SubmittedJob
from tasks.errors import WorkerLost

#: Between two tries; the last one goes on.
_PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0)
#: How long a cluster may be out of reach before following ends.
GIVE_UP_SECONDS = 600.0
#: The longest pause before the log of a job that has ended is given up.
_LAST_PAUSE_SECONDS = 4.0


class Jobs(Protocol):
    """What following needs of a cluster.  All raise WorkerLost while it is out of reach."""

    def job(self, id: str) -> SubmittedJob: ...

    def log(self, id: str) -> str:
        """The log so far, whole."""
        ...

    def tail(self, id: str) -> Iterator[str]:
        """The log from its beginning, as it grows; ends with the job, or sooner."""
        ...


@dataclass
class _Shown:
    """What is on the screen, by its length: a log only grows, and is told from its beginning."""

    write: Callable[[str], object]
    characters: int = 0

    def show(self, texts: Iterable[str]) -> None:
        seen = 0
        for text in texts:
            fresh = text[max(0, self.characters - seen) :]
            seen += len(text)
            if fresh:
                self.characters += len(fresh)
                self.write(fresh)


def follow(
    jobs: Jobs,
    id: str,
    write: Callable[[str], object],
    say: Callable[[str], object],
    *,
    pause: Callable[[float], object] = time.sleep,
) -> SubmittedJob:
    """The job once it has ended, its whole log written once.

    Raises:
        WorkerLost: the cluster was out of reach for GIVE_UP_SECONDS; the job may go on.
        JobError: the job, or the right to see it, is gone.
    """
    shown, pauses = _Shown(write), _pauses()
    while True:
        cut = _tried(lambda: shown.show(jobs.tail(id)))
        job = _answer(jobs, id, say, pause)
        if job.ended:
            _show_the_rest(jobs, id, shown, say, pause)
            return job
        if cut is None:
            pauses = _pauses()
        else:  # A proxy may refuse streams and let plain requests pass.
            _tried(lambda: shown.show([jobs.log(id)]))
        pause(next(pauses))


def _answer(jobs: Jobs, id: str, say: Callable[[str], object], pause: Callable[[float], object]) -> SubmittedJob:
    """The job as it is now, or as it is once the cluster is in reach again."""
    lost_seconds, pauses = 0.0, _pauses()
    while True:
        try:
            job = jobs.job(id)
        except WorkerLost as error:
            if not lost_seconds:
                say(f"connection lost ({error.message}); the job goes on, trying again")
            wait = next(pauses)
            lost_seconds += wait
            if lost_seconds > GIVE_UP_SECONDS:
                raise WorkerLost(f"{error.message}; tried for {lost_seconds:.0f} s; the job may still run") from None
            pause(wait)
        else:
            if lost_seconds:
                say("connected again")
            return job


def _show_the_rest(
    jobs: Jobs, id: str, shown: _Shown, say: Callable[[str], object], pause: Callable[[float], object]
) -> None:
    """What the log got after the last piece that came; a log that went with its node is no failure of the job."""
    for wait in _pauses():
        reason = _tried(lambda: shown.show([jobs.log(id)]))
        if reason is None:
            return
        if wait > _LAST_PAUSE_SECONDS:
            say(f"the rest of its log cannot be read: {reason}")
            return
        pause(wait)


def _tried(step: Callable[[], object]) -> str | None:
    """Why the cluster was lost in this step, None where it was not."""
    try:
        step()
    except WorkerLost as error:
        return error.message
    return None


def _pauses() -> Iterator[float]:
    return itertools.chain(_PAUSES_SECONDS, itertools.repeat(_PAUSES_SECONDS[-1]))
