"""One run from a job to its report: a place, a pool on it, and the pipeline's journey; no Ray call here."""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from cluster.address import Place
from cluster.dispatch.dispatcher import Dispatcher
from cluster.dispatch.journal import Journal
from cluster.dispatch.video_pool import VideoPool
from cluster.fleet.opening import fleet_at
from cluster.gpus.allocator import let_segments_grow
from cluster.messages import WorkerFacts
from cluster.report.document import Usage, usage_here
from cluster.scheduling.scheduler import Scheduler
from cluster.scheduling.values import Video
from cluster.watch import RunWatch, WatchedPool
from pipeline.inputs import uris_of, with_inputs_at
from pipeline.job import RenderJob
from pipeline.pool import Decision, Pool
from pipeline.run_report import RunReport, StageSpan
from pipeline.storage import Storage
from pipeline.weights import absolute as absolute_weights
from tasks.errors import JobError, ReelyardError

if TYPE_CHECKING:
    from tasks.task import Shown

log = logging.getLogger("reelyard")

_Used = Callable[[], list[Usage]]


@dataclass(frozen=True)
class Run:
    """A finished run: the pipeline's report and what only the cluster knows."""

    report: RunReport
    place: Place
    usage: tuple[Usage, ...]
    first_frame_seconds: float | None


def run(job: RenderJob, place: Place, device: str, watch: RunWatch) -> Run:
    """One video, rendered where `place` says.

    Raises:
        ReelyardError: as `pipeline.render.render`; what was committed stays for the next try.
    """
    from cluster.leftovers import remove_empty_folders
    from pipeline.prepare import check_request, work_prefix
    from pipeline.render import render, scratch_folder

    storage = Storage(dict(job.storage_options))
    check_request(storage, job)
    with scratch_folder() as scratch, pool_at(place, job, device, scratch, watch) as (pool, usage):
        ready = watch.seconds
        report = render(_absolute(job), cast(Pool, WatchedPool(pool, watch)), storage, watch.progress)
        used = usage()
    if not job.keep_parts:
        remove_empty_folders(storage, work_prefix(job))
    return Run(_placed(report, job, place, ready, watch), place, tuple(used), watch.first_frame_seconds)


def scan(job: RenderJob, place: Place, watch: RunWatch) -> "tuple[Shown, ...]":
    """Everyone who is seen in the job's source.

    Raises:
        ReelyardError: as `pipeline.people.find_people`; what was measured stays for the next try.
    """
    from pipeline.people import find_people
    from pipeline.prepare import check_request
    from pipeline.render import scratch_folder

    storage = Storage(dict(job.storage_options))
    check_request(storage, job, voiced=False)
    with scratch_folder() as scratch, pool_at(place, job, "cpu", scratch, watch) as (pool, _):
        return find_people(_absolute(job), cast(Pool, WatchedPool(pool, watch)), storage)


def _placed(report: RunReport, job: RenderJob, place: Place, ready: float, watch: RunWatch) -> RunReport:
    """The report on the clock of the whole run, which began before its place stood `ready` seconds later."""
    later = [
        replace(s, start_seconds=s.start_seconds + ready, end_seconds=s.end_seconds + ready) for s in report.stages
    ]
    return replace(
        report,
        source=job.source,
        output=job.output,
        decisions=(Decision("place", place.kind, place.reason), *report.decisions),
        stages=(StageSpan("start", 0.0, ready), *later, *watch.spans),
        wall_seconds=watch.seconds,
    )


@contextmanager
def pool_at(place: Place, job: RenderJob, device: str, scratch: Path, watch: RunWatch) -> Iterator[tuple[Pool, _Used]]:
    """The pool of a place, closed at the end, and a way to ask what was used."""
    altering = bool(job.tasks or job.label or job.bake_rotation)
    if place.kind == "in-process":
        with _in_process_pool(job, device, altering, scratch, watch) as pool:
            yield pool, lambda: [usage_here("in-process")]
        return
    _refuse_memory(job)
    threading.Thread(target=_import_ahead, args=(job, place), daemon=True, name="import").start()
    options, local = dict(job.storage_options), _local_uris(job)
    with fleet_at(place, options, device, altering=altering, local_uris=local) as fleet:
        journal = Journal()
        dispatcher = Dispatcher(fleet, Scheduler(), journal)
        shared = VideoPool(dispatcher, fleet, journal, Video(job.output), watch.progress)
        try:
            yield shared, lambda: [usage_here("driver"), *map(_used_by, fleet.facts())]
        finally:
            shared.close()
            dispatcher.close()


def _import_ahead(job: RenderJob, place: Place) -> None:
    """What the journey imports, while Ray starts; tasks too where its steps may run in this process."""
    import pipeline.render
    from tasks.table import open_task

    with contextlib.suppress(ReelyardError):  # The journey will say it in its place.
        for spec in job.tasks if place.kind == "local" else ():
            open_task(spec)
    log.debug("%s imported", pipeline.render.__name__)


@contextmanager
def _in_process_pool(job: RenderJob, device: str, altering: bool, scratch: Path, watch: RunWatch) -> Iterator[Pool]:
    import av.logging

    from pipeline.engine import InProcessPool

    chosen, reason = "cpu", "no task draws: nothing is computed on a device"
    let_segments_grow(os.environ)
    if altering:
        from tasks.devices import choose_device

        choice = choose_device(device)
        chosen, reason = choice.device, choice.reason
    av.logging.set_level(None)
    pool = InProcessPool(Storage(dict(job.storage_options)), chosen, scratch, watch.progress)
    pool.decisions = (Decision("device", chosen, reason),)
    try:
        yield pool
    finally:
        pool.close()


def _absolute(job: RenderJob) -> RenderJob:
    """The same job for processes with other working folders."""

    def absolute(uri: str) -> str:
        return uri if "://" in uri else os.path.abspath(uri)

    job = with_inputs_at(job, absolute)
    return replace(
        job,
        output=absolute(job.output),
        work=absolute(job.work) if job.work else None,
        models=absolute(job.models) if job.models else "",
        tasks=tuple(absolute_weights(spec) for spec in job.tasks),
    )


def _refuse_memory(job: RenderJob) -> None:
    for uri in uris_of(job):
        if uri.startswith("memory://"):
            raise JobError(
                f"{uri}: lies in the memory of this process, where Ray's workers cannot read it; add --in-process"
            )


def _local_uris(job: RenderJob) -> tuple[str, ...]:
    storage = Storage(dict(job.storage_options))
    return tuple(uri for uri in uris_of(job) if storage.local_path(uri) is not None)


def _used_by(facts: WorkerFacts) -> Usage:
    return Usage(facts.name, facts.cpu_seconds, facts.peak_memory_bytes, facts.gpu)
