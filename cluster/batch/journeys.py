"""One item of a batch from its turn to its end: claimed, rendered by the pipeline's journey, told in events."""

import contextlib
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass

from cluster.batch.admission import Turn
from cluster.dispatch.dispatcher import Dispatcher
from cluster.dispatch.journal import Journal
from cluster.dispatch.video_pool import VideoPool
from cluster.events import VideoChanged, VideoPhase
from cluster.fleet.values import Fleet
from cluster.manifest.values import Item
from cluster.scheduling.values import Video
from pipeline.claims import Claims
from pipeline.keys import digest_of
from pipeline.prepare import work_prefix
from pipeline.quarantine import why_aside
from pipeline.receipts import keep_receipt
from pipeline.run_report import RunReport
from pipeline.stages import Stopped
from pipeline.steps import clear_work, copy_output
from pipeline.storage import Storage
from tasks.errors import JobError, ReelyardError, ResourceShortage, SegmentError, SourceError, StorageError, WorkerLost

#: Waits before a journey is begun again after its storage failed or a worker outside cells was lost.
_AGAIN_SECONDS = (2.0, 5.0, 10.0, 20.0, 40.0)
#: How long an item of another driver waits for its next turn.
DEFER_SECONDS = 5.0


@dataclass(frozen=True, eq=False)
class Means:
    """What every journey of a run shares."""

    dispatcher: Dispatcher
    fleet: Fleet
    journal: Journal
    storage: Storage
    claims: Claims
    remedy: Callable[[Item], str]
    "The command that renders an item alone."


class Journey:
    """One turn; `run` blocks its thread until the item is done, failed, stopped or found to be another driver's."""

    def __init__(self, means: Means, turn: Turn) -> None:
        self._means = means
        self._item = turn.item
        self._look = turn.look
        self._like = turn.like
        self._stopped = threading.Event()
        video = Video(turn.item.name, turn.item.group, turn.item.priority, turn.item.weight, recipe_of(turn.item))
        self._pool = VideoPool(means.dispatcher, means.fleet, means.journal, video, lambda stage, frames: None)

    def stop(self) -> None:
        self._stopped.set()
        self._pool.close()

    def run(self) -> bool:
        """False where another driver is at the item."""
        try:
            return self._taken()
        except Stopped:
            self.tell("stopped")
        except ReelyardError as error:
            self.failed(error)
        except Exception as error:  # One video never harms the others, whatever is wrong with it or with us.
            self.failed(SegmentError(f"{type(error).__name__}: {error}; please report this", "driver"))
        return True

    def _taken(self) -> bool:
        """The item done, if it is ours; begun again, which resumes it, where its storage fails for a while."""
        for wait in _AGAIN_SECONDS:
            try:
                return self._claimed()
            except (StorageError, WorkerLost):
                if self._stopped.wait(wait * random.uniform(0.5, 1.5)):
                    raise Stopped from None
        return self._claimed()

    def _claimed(self) -> bool:
        claims, job = self._means.claims, self._item.job
        if not claims.take(work_prefix(job), job.output):
            return False
        try:
            self._once()
        finally:
            with contextlib.suppress(StorageError):  # What cannot be removed goes stale by itself.
                claims.release(work_prefix(job), job.output)
        return True

    def _once(self) -> None:
        from pipeline.render import render

        job = self._item.job
        if self._like is not None and self._means.storage.exists(self._like.job.output):
            self._pool.do(copy_output, self._like.job.output, job.output, job.overwrite)
            if job.work is None and not job.keep_parts:
                self._pool.do(clear_work, work_prefix(job), None)
            self._keep_receipt()
            self.tell("duplicate", message=f"shows what {self._like.job.output} shows: copied")
            return
        report = render(job, self._pool, self._means.storage, lambda stage, frames: None)
        self._told(report)

    def _told(self, report: RunReport) -> None:
        if report.status == "quarantined":
            self.tell("failed", message=why_aside(report), kind="quality", remedy=self._means.remedy(self._item))
            return
        self._keep_receipt()
        phase: VideoPhase = "already done" if report.status == "already done" else "rendered"
        counts = report.counts
        kept = [
            f"{task['name']}: {count} frames kept ({reason})"
            for task in report.tasks
            for reason, count in dict(task.get("kept", {})).items()  # type: ignore[call-overload]
            if count
        ]
        self.tell(
            phase,
            frames=counts.get("frames", 0),
            segments=counts.get("segments", 0),
            resumed=counts.get("segments resumed", 0),
            message="; ".join((*report.notes, *kept)),
        )

    def _keep_receipt(self) -> None:
        """So that the next run needs no look; a worker that is lost meanwhile costs that look."""
        if self._look.content:
            with contextlib.suppress(WorkerLost):
                self._pool.do(keep_receipt, self._item.job, self._look)

    def failed(self, error: ReelyardError) -> None:
        kind = error.kind if isinstance(error, SegmentError) else type(error).__name__
        refused = isinstance(error, JobError | SourceError | ResourceShortage)
        self.tell(
            "refused" if refused else "failed", message=error.message, kind=kind, remedy=self._means.remedy(self._item)
        )

    def tell(self, phase: VideoPhase, **more: object) -> None:
        job = self._item.job
        self._means.journal.tell(VideoChanged, self._item.name, phase, job.source, job.output, **more)


def recipe_of(item: Item) -> str:
    """Equal for items whose frames cost alike and need the same models."""
    return digest_of(item.job.tasks, item.job.label, item.job.encode)[:12]
