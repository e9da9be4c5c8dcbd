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

from pipeline.built import built_prefix
from pipeline.engine import InProcessPool
from pipeline.facts import plan_facts, report_of
from pipeline.finished import output_job_key
from pipeline.job import RenderJob
from pipeline.keys import part_key
from pipeline.ledger import Ledger
from pipeline.part import Part
from pipeline.pool import Pool, Progress
from pipeline.prepare import RenderPlan, check_request, decoding_of, scan_prefix, work_prefix
from pipeline.quality import Verdict, looks_of
from pipeline.quarantine import aside_uri, put_aside, quarantined, remove_replaced, with_quality
from pipeline.run_report import Clock, RunReport
from pipeline.scan import not_measured
from pipeline.segments import Segment
from pipeline.steps import (
    check_quality,
    clear_work,
    conclude,
    copy_for_any_order,
    known_quality,
    move_aside,
    plan_render,
    scan_works,
    stitch_output,
)
from pipeline.storage import Storage
from pipeline.work import Lease, SegmentWork, UnitWork
from tasks.errors import ReelyardError, StorageError
from tasks.picture import frames_per_batch
from tasks.table import computed_like, task_entry
from tasks.task import TaskPlan

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
            return render(job, pool, storage, progress)
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


def render(job: RenderJob, pool: Pool, storage: Storage, progress: Progress) -> RunReport:
    """The five verbs, on a pool."""
    clock = Clock()
    with clock.stage("probe"):
        plan, done = _prepared(storage, pool, job)
    if (report := _of_what_is_there(plan, done, pool, storage, clock)) is not None:
        return report
    ledger = Ledger(storage, plan.prefix)
    ledger.write_plan(plan.key, plan_facts(plan))
    plan = _in_any_order(plan, pool, clock)
    with clock.stage("scan"):
        task_plans = _scan(plan, pool, storage)
    plan = replace(plan, specs=computed_like(plan.specs, lambda: pool.machine))
    works = segment_works(plan, task_plans, pool.device_class)
    for attempt in range(_STITCH_TRIES):
        parts, resumed = _render_missing(plan, works, ledger, pool, progress, clock)
        try:
            verdict = _judged(plan, works, task_plans, pool, clock)
            with clock.stage("stitch"):
                lines = pool.do(stitch_output, put_aside(plan) if verdict.short else plan, parts, verdict)
        except StorageError:
            # Another driver of the same job may have finished, and cleared the parts, meanwhile.
            if not job.checked and storage.exists(job.output) and output_job_key(storage, job.output) == plan.key:
                return report_of(plan, [], task_plans, pool, clock, "already done")
            if attempt + 1 == _STITCH_TRIES:
                raise
            continue
        break
    if verdict.short:
        remove_replaced(storage, plan)  # The parts stay: with another gate the same command has only to stitch.
        return quarantined(report_of(plan, parts, task_plans, pool, clock, "rendered", resumed, lines), verdict)
    if not job.keep_parts:
        pool.do(clear_work, plan.prefix, ledger.files_of(plan.key, works, parts) if job.work else None)
    return with_quality(report_of(plan, parts, task_plans, pool, clock, "rendered", resumed, lines), verdict)


def _of_what_is_there(plan: RenderPlan, done: bool, pool: Pool, storage: Storage, clock: Clock) -> RunReport | None:
    """The report where this job's output is there: as it is, or put aside for what was found of it when it was made."""
    job = plan.job
    known = (known_quality(storage, plan) if job.checked and (done or not job.overwrite) else None) or Verdict()
    if not done and not known.short:
        return None
    log.info("%s is this job's output already", job.output)
    if known.short:
        pool.do(move_aside, job.output, aside_uri(job.output))
    if job.work is None and not job.keep_parts:
        pool.do(clear_work, plan.prefix, None)
    report = report_of(plan, [], [], pool, clock, "already done")
    return quarantined(report, known) if known.short else with_quality(report, known)


def _judged(
    plan: RenderPlan, works: list[SegmentWork], task_plans: list[TaskPlan], pool: Pool, clock: Clock
) -> Verdict:
    """How good the rendered parts are; nothing is known where nobody asked."""
    if not plan.job.checked:
        return Verdict()
    with clock.stage("check"):
        found: Verdict = pool.do(check_quality, plan, looks_of(works), [done.asked for done in task_plans])
    return found


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
        check_request(storage, job)
        plan, done = pool.do(plan_render, job)
        return plan, done
    except ReelyardError:
        if fresh:
            Ledger(storage, work_prefix(job)).clear_all()
        raise


def _in_any_order(plan: RenderPlan, pool: Pool, clock: Clock) -> RenderPlan:
    """The plan over a lossless copy where a source of one pass is shown backwards or again."""
    if plan.index.mode == "random" or plan.timeline.monotonic:
        return plan
    with clock.stage("intermediate"):
        return replace(plan, index=pool.do(copy_for_any_order, plan))


def _scan(plan: RenderPlan, pool: Pool, storage: Storage) -> list[TaskPlan]:
    """What each task will do; only units that are not yet in storage are measured.

    The tasks themselves are opened by whoever does the steps: a driver has no use for what they import.
    """
    if not plan.specs:
        return []
    works: tuple[tuple[UnitWork, ...], ...] = ((),) * len(plan.specs)
    if any(task_entry(spec.name).needs_scan for spec in plan.specs):
        works = pool.do(scan_works, plan)
    for spec, units in zip(plan.specs, works, strict=True):
        missing = not_measured(storage, scan_prefix(plan.job, plan.content), units)
        for _ in pool.measure(plan.index, spec, missing, decoding_of(plan.job)) if missing else ():
            pass
    concluded: list[TaskPlan] = pool.do(conclude, plan, works)
    return concluded


def segment_works(plan: RenderPlan, task_plans: list[TaskPlan], device_class: str) -> list[SegmentWork]:
    """Every segment with its inputs and key, in order."""
    policies = (device_class, plan.job.damaged, plan.job.alpha, plan.job.deinterlace, plan.job.bake_rotation)

    def work(segment: Segment) -> SegmentWork:
        a, b = segment.start, segment.end
        shown = plan.timeline.source_frames[a:b], plan.timeline.pts[a:b]
        inputs = tuple(task_plan.slice(a, b) for task_plan in task_plans)
        digests = [task_plan.digest for task_plan in task_plans]
        chain = list(zip(plan.specs, digests, inputs, strict=True))
        key = part_key(plan.index, (a, b), shown, chain, plan.encode, policies)
        end = int(plan.timeline.pts[b]) if b < len(plan.timeline) else plan.timeline.end_pts
        seen = f"{plan.prefix}/quality/{key}.npz" if plan.job.checked else ""
        return SegmentWork(segment, *shown, end, inputs, plan.encode, key, f"{plan.prefix}/parts/{key}.mp4", seen)

    return [work(segment) for segment in plan.segments]


def leases(plan: RenderPlan, missing: list[SegmentWork]) -> list[Lease]:
    """One lease a segment; all of them in one where the source is decoded once, in order."""
    if not missing:
        return []
    count = frames_per_batch(plan.index.format.frame_bytes, *(format.frame_bytes for format in plan.formats))
    groups = [tuple(missing)] if plan.index.mode == "linear" else [(work,) for work in missing]
    job = plan.job
    shared = job.damaged, job.deinterlace, job.bake_rotation, built_prefix(job)
    return [Lease(group, count, *shared) for group in groups]
