"""The journey of one video: probe, plan, scan, render, stitch; on any pool, in any process.

Resume is the same call again: parts whose key is already committed are not rendered.
"""

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline.audio import encode_audio
from pipeline.encoders import container_of
from pipeline.engine import InProcessPool
from pipeline.facts import plan_facts, report_of
from pipeline.finished import output_job_key, statement_of
from pipeline.intermediate import make_intermediate
from pipeline.job import RenderJob
from pipeline.keys import part_key
from pipeline.ledger import Ledger
from pipeline.part import Part
from pipeline.pool import Pool, Progress
from pipeline.prepare import RenderPlan, check_scratch, prepare, work_prefix
from pipeline.run_report import Clock, RunReport
from pipeline.scan import scan_task
from pipeline.segments import Segment
from pipeline.stitch import StitchRequest, stitch
from pipeline.storage import Storage
from pipeline.voice import make_voice
from pipeline.work import Decoding, Lease, SegmentWork
from tasks.errors import JobError, ReelyardError, StorageError
from tasks.picture import frames_per_batch
from tasks.table import open_task
from tasks.task import Task, TaskPlan

log = logging.getLogger("reelyard")

_STITCH_TRIES = 3


def no_progress(stage: str, frames: int) -> None:
    """Tells nobody."""


def render_in_process(job: RenderJob, *, device: str = "cpu", progress: Progress = no_progress) -> RunReport:
    """One video rendered by threads of this process; the reference meaning of every other way.

    Raises:
        JobError: the request is wrong; nothing was done.
        SegmentError: a segment failed; what was committed stays for the next try.
    """
    storage = Storage(dict(job.storage_options))
    with scratch_folder() as scratch:
        pool = InProcessPool(storage, device, scratch, progress)
        try:
            return render(job, pool, storage, scratch, progress)
        finally:
            pool.close()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder of this run alone, removed when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="reelyard-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def render(job: RenderJob, pool: Pool, storage: Storage, scratch: Path, progress: Progress) -> RunReport:
    """The five verbs, on a pool."""
    clock = Clock()
    with clock.stage("probe"):
        plan, done = _prepared(storage, pool, job)
    ledger = Ledger(storage, plan.prefix)
    if done:
        if job.work is None and not job.keep_parts:
            ledger.clear_all()
        return report_of(plan, [], [], pool, clock, "already done")
    check_scratch(plan, scratch)
    ledger.write_plan(plan.key, plan_facts(plan))
    tasks = [open_task(spec) for spec in plan.specs]
    plan = _in_any_order(plan, storage, clock)
    task_plans = _scan(plan, tasks, pool, storage, scratch, clock)
    works = segment_works(plan, tasks, task_plans, pool.device_class)
    for attempt in range(_STITCH_TRIES):
        parts, resumed = _render_missing(plan, works, ledger, pool, progress, clock)
        try:
            with clock.stage("stitch"):
                lines = _stitch(plan, parts, storage, scratch)
        except StorageError:
            # Another driver of the same job may have finished, and cleared the parts, meanwhile.
            if storage.exists(job.output) and output_job_key(storage, job.output) == plan.key:
                return report_of(plan, [], task_plans, pool, clock, "already done")
            if attempt + 1 == _STITCH_TRIES:
                raise
            continue
        break
    if not job.keep_parts and job.work is None:
        ledger.clear_all()
    elif not job.keep_parts:
        ledger.clear(plan.key, works, parts)
    return report_of(plan, parts, task_plans, pool, clock, "rendered", resumed, lines)


def _stitch(plan: RenderPlan, parts: list[Part], storage: Storage, scratch: Path) -> tuple[str, ...]:
    """The output, committed; lines for the report come back."""
    job, voice = plan.job, None
    if job.audio is not None:
        seconds = plan.timeline.duration_seconds if job.fit == "video" else None
        voice = encode_audio(storage, job.audio, container_of(job.output), scratch / "voice", seconds=seconds)
    request = StitchRequest(
        job.output,
        plan.carry,
        voice.path if voice else None,
        statement_of(plan.key, plan.specs),
        job.overwrite,
    )
    return stitch(storage, parts, plan.timeline, plan.encode, request, scratch).lines


def _render_missing(
    plan: RenderPlan,
    works: list[SegmentWork],
    ledger: Ledger,
    pool: Pool,
    progress: Progress,
    clock: Clock,
) -> tuple[list[Part], int]:
    """All parts in order, and how many of them were there already."""
    committed = ledger.committed(works)
    missing = [work for work in works if work.key not in committed]
    log.info("%d segments, %d of them already rendered", len(works), len(committed))
    progress("resumed", sum(len(work.segment) for work in works if work.key in committed))
    with clock.stage("render"):
        for part in pool.render(plan.index, plan.specs, leases(plan, missing)):
            committed[part.key] = part
    return [committed[work.key] for work in works], len(works) - len(missing)


def _prepared(storage: Storage, pool: Pool, job: RenderJob) -> tuple[RenderPlan, bool]:
    """The plan, and whether its output is there; a refused request leaves no folder beside the output."""
    fresh = job.work is None and not storage.list(work_prefix(job))
    try:
        plan = prepare(storage, pool, job)
        return plan, _is_done(storage, plan)
    except ReelyardError:
        if fresh:
            Ledger(storage, work_prefix(job)).clear_all()
        raise


def _in_any_order(plan: RenderPlan, storage: Storage, clock: Clock) -> RenderPlan:
    """The plan over a lossless copy where a source of one pass is shown backwards or again."""
    if plan.index.mode == "random" or plan.timeline.monotonic:
        return plan
    with clock.stage("intermediate"):
        copy = make_intermediate(storage, plan.index, f"{plan.prefix}/intermediate", damaged=plan.job.damaged)
    return replace(plan, index=copy)


def _is_done(storage: Storage, plan: RenderPlan) -> bool:
    """True where the output is there and is this job's; refuses another job's."""
    output = plan.job.output
    if plan.job.overwrite or not storage.exists(output):
        return False
    if output_job_key(storage, output) == plan.key:
        log.info("%s is this job's output already", output)
        return True
    raise JobError(f"output {output} exists and is not this job's; add --overwrite or name another output")


def _scan(
    plan: RenderPlan, tasks: list[Task], pool: Pool, storage: Storage, scratch: Path, clock: Clock
) -> list[TaskPlan]:
    voice = None
    if plan.job.audio and any(task.needs.audio for task in tasks):
        with clock.stage("voice"):
            voice = make_voice(storage, plan.job.audio, scratch)
    output = plan.timeline.output_frames(plan.index.format)
    with clock.stage("scan"):
        return [
            scan_task(
                storage,
                pool,
                plan.index,
                task,
                plan.units,
                output,
                voice,
                f"{plan.prefix}/scan",
                Decoding(plan.job.damaged, plan.job.deinterlace),
            )
            for task in tasks
        ]


def segment_works(
    plan: RenderPlan, tasks: list[Task], task_plans: list[TaskPlan], device_class: str
) -> list[SegmentWork]:
    """Every segment with its inputs and key, in order."""
    policies = (device_class, plan.job.damaged, plan.job.alpha, plan.job.deinterlace, plan.job.bake_rotation)
    digests = [task.digest() for task in tasks]

    def work(segment: Segment) -> SegmentWork:
        a, b = segment.start, segment.end
        shown = plan.timeline.source_frames[a:b], plan.timeline.pts[a:b]
        inputs = tuple(task_plan.slice(a, b) for task_plan in task_plans)
        chain = list(zip(plan.specs, digests, inputs, strict=True))
        key = part_key(plan.index, (a, b), shown, chain, plan.encode, policies)
        end = int(plan.timeline.pts[b]) if b < len(plan.timeline) else plan.timeline.end_pts
        return SegmentWork(segment, *shown, end, inputs, plan.encode, key, f"{plan.prefix}/parts/{key}.mp4")

    return [work(segment) for segment in plan.segments]


def leases(plan: RenderPlan, missing: list[SegmentWork]) -> list[Lease]:
    """One lease a segment; all of them in one where the source is decoded once, in order."""
    if not missing:
        return []
    count = frames_per_batch(plan.index.format.frame_bytes, plan.format.frame_bytes)
    groups = [tuple(missing)] if plan.index.mode == "linear" else [(work,) for work in missing]
    return [Lease(group, count, plan.job.damaged, plan.job.deinterlace, plan.job.bake_rotation) for group in groups]
