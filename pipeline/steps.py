"""The steps of a journey that need no cell: functions of (storage, scratch, arguments …) that any process can do.

Arguments and answers are values that travel; pictures stay in storage.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline.audio import encode_audio
from pipeline.encoders import container_of
from pipeline.finished import output_job_key, statement_of
from pipeline.index import SourceIndex
from pipeline.intermediate import make_intermediate
from pipeline.job import RenderJob
from pipeline.ledger import Ledger
from pipeline.look import Look
from pipeline.mix import mix_voices
from pipeline.part import Part
from pipeline.prepare import RenderPlan, check_request, check_scratch, decoding_of, prepare, scan_prefix
from pipeline.probe import probe
from pipeline.quality import LooksAt, Verdict, picture_jumps, stored_looks, verdict_of
from pipeline.receipts import keep_receipt
from pipeline.scan import stored_measurements, unit_works
from pipeline.source_sound import kept_source_sound, source_sound_key
from pipeline.stitch import StitchRequest, stitch
from pipeline.storage import Storage
from pipeline.voice import make_voices
from pipeline.weights import check_weights, open_to_conclude
from pipeline.work import UnitWork
from tasks.errors import JobError
from tasks.quality import SelfChecking
from tasks.table import open_task
from tasks.task import Shown, SoundStretch, TaskPlan


def index_source(storage: Storage, scratch: Path, uri: str, cache_prefix: str | None = None) -> SourceIndex:
    """The index of a source, kept under `cache_prefix`.

    Raises:
        SourceError: the source cannot be read or holds no picture.
    """
    return probe(storage, uri, cache_prefix=cache_prefix)


def plan_render(storage: Storage, scratch: Path, job: RenderJob) -> tuple[RenderPlan, bool]:
    """The plan, and whether its output is there already.

    Raises:
        JobError: the request cannot be met, or the output is another job's.
        SourceError: the source or the voice cannot be read.
        ResourceShortage: there is no room for what is in flight.
        WeightsError: a task's weights cannot be had, or do not fit.
    """
    plan = prepare(storage, job)
    if is_done(storage, plan):
        return plan, True
    check_scratch(plan, scratch)
    check_weights(storage, plan.specs)
    return plan, False


def look_at(storage: Storage, scratch: Path, job: RenderJob) -> Look:
    """What is known of a job ahead of its turn; what is wrong with the request or the source is found here.

    Raises:
        JobError, SourceError, ResourceShortage, WeightsError: as `plan_render`.
    """
    plan, done = plan_render(storage, scratch, job)
    frames, format = len(plan.timeline), plan.index.format
    seconds = float(plan.timeline.duration_seconds)
    megapixels = frames * format.width * format.height / 1e6
    look = Look(frames, megapixels, seconds, len(plan.segments), done, plan.content)
    if done and job.work is None and not job.keep_parts:
        Ledger(storage, plan.prefix).clear_all()
    if done:
        keep_receipt(storage, scratch, job, look)
    return look


def plan_scan(storage: Storage, scratch: Path, job: RenderJob) -> RenderPlan:
    """The plan of a job that is to be scanned, not rendered.

    Raises:
        JobError, SourceError, WeightsError: as `plan_render`.
    """
    check_request(storage, job, voiced=False)
    plan = prepare(storage, job, cached=False)
    check_weights(storage, plan.specs)
    return plan


def people_of(
    storage: Storage, scratch: Path, plan: RenderPlan, measured: tuple[tuple[UnitWork, ...], ...]
) -> tuple[Shown, ...]:
    """Everyone whom the first task of the plan, lip sync, saw in the source."""
    from tasks.chain import settle_arithmetic
    from tasks.lip_sync.task import LipSyncTask

    settle_arithmetic()
    task = open_to_conclude(storage, plan.specs[0])
    assert isinstance(task, LipSyncTask)
    return task.people(stored_measurements(storage, measured[0]), plan.timeline.output_frames(plan.formats[0]))


def is_done(storage: Storage, plan: RenderPlan) -> bool:
    """True where the output is there and is this job's.

    Raises:
        JobError: it is another job's, and may not be overwritten.
    """
    output = plan.job.output
    if plan.job.overwrite or not storage.exists(output):
        return False
    if output_job_key(storage, output) == plan.key:
        return True
    raise JobError(f"output {output} exists and is not this job's; add --overwrite or name another output")


def copy_for_any_order(storage: Storage, scratch: Path, plan: RenderPlan) -> SourceIndex:
    """The index of a lossless copy of the source, of random access."""
    return make_intermediate(storage, plan.index, f"{plan.prefix}/intermediate", scratch, damaged=plan.job.damaged)


def scan_works(storage: Storage, scratch: Path, plan: RenderPlan) -> tuple[tuple[UnitWork, ...], ...]:
    """For each task its scan units, with where their measurements lie; none for a task without a scan."""
    prefix, decoding = scan_prefix(plan.job, plan.content), decoding_of(plan.job)
    return tuple(unit_works(prefix, plan.index, open_task(spec), plan.units, decoding) for spec in plan.specs)


def conclude(
    storage: Storage, scratch: Path, plan: RenderPlan, measured: tuple[tuple[UnitWork, ...], ...]
) -> list[TaskPlan]:
    """What each task will do, from the measurements of its units; the voice is read here."""
    tasks = [open_to_conclude(storage, spec) for spec in plan.specs]
    voice = None
    if plan.voices and any(task.needs.audio for task in tasks):
        from tasks.chain import settle_arithmetic

        settle_arithmetic()
        voice = make_voices(storage, [one.uri for one in plan.voices], scratch)
    sound = _source_sound(storage, plan) if any(task.needs.source_sound for task in tasks) else ()
    concluded = [
        task.conclude(
            stored_measurements(storage, works),
            replace(plan.timeline.output_frames(format), source_sound=sound),
            voice,
        )
        for task, works, format in zip(tasks, measured, plan.formats, strict=False)
    ]
    return [replace(found, digest=task.digest()) for task, found in zip(tasks, concluded, strict=True)]


def _source_sound(storage: Storage, plan: RenderPlan) -> tuple[SoundStretch, ...]:
    """The source's own sound, kept with its scan: another voice for it decodes none of it again."""
    uri = f"{scan_prefix(plan.job, plan.content)}/{source_sound_key(plan.index, plan.timeline.source_frames)}.npz"
    return kept_source_sound(storage, plan.index, plan.timeline.source_frames, uri)


def copy_output(storage: Storage, scratch: Path, source: str, target: str, overwrite: bool) -> None:
    """The finished output of an equal job under another name; through scratch, whole or not at all."""
    copy = scratch / "copy"
    with storage.open(source) as reading, copy.open("wb") as writing:
        shutil.copyfileobj(reading, writing, 4 << 20)
    storage.put_file(copy, target, create_only=not overwrite)


def clear_work(storage: Storage, scratch: Path, prefix: str, uris: tuple[str, ...] | None) -> None:
    """What a finished job leaves under its work prefix is removed: these files, or everything."""
    ledger = Ledger(storage, prefix)
    if uris is None:
        ledger.clear_all()
    else:
        ledger.clear(uris)


def check_quality(
    storage: Storage,
    scratch: Path,
    plan: RenderPlan,
    looks: tuple[LooksAt, ...],
    asked: list[npt.NDArray[np.floating] | None],
) -> Verdict:
    """How good what was drawn came out, from what was seen while it was rendered; a segment at a time."""
    tasks = [open_task(spec) for spec in plan.specs]
    for position, task in enumerate(tasks):
        if isinstance(task, SelfChecking):
            jumps = picture_jumps(plan.timeline.source_frames)
            found = task.judge(stored_looks(storage, looks, position), asked[position], jumps)
            start_seconds = plan.timeline.output_frames(plan.format).start_seconds
            return verdict_of(found, plan.job.quality_gate, start_seconds)
    raise JobError("--quality: no task of this job can be checked")  # `check_request` refuses it before.


def stitch_output(storage: Storage, scratch: Path, plan: RenderPlan, parts: list[Part]) -> tuple[str, ...]:
    """The output, committed; lines for the report come back.

    Raises:
        StitchError: parts do not fit together.
        StorageError: a part is gone, or the output cannot be written.
    """
    job = plan.job
    sound, lines = _sound_of_output(storage, scratch, plan)
    statement = statement_of(plan.key, plan.specs)
    request = StitchRequest(job.output, plan.carry, sound, statement, job.overwrite)
    return (*lines, *stitch(storage, parts, plan.timeline, plan.encode, request, scratch).lines)


def _sound_of_output(storage: Storage, scratch: Path, plan: RenderPlan) -> tuple[Path | None, tuple[str, ...]]:
    """What is heard, encoded for the whole, and what is to be said of it; None where the source's own sound stays."""
    job = plan.job
    if not plan.voices:
        return None, ()
    seconds = plan.timeline.duration_seconds if job.fit == "video" else None
    uri, lines = plan.voices[0].uri, []
    if len(plan.voices) > 1:
        seconds = seconds or max(one.duration_seconds for one in plan.voices)
        if job.sound == "mix":
            mix = mix_voices(storage, plan.voices, scratch / "mix.mka")
            uri, lines = str(mix.path), [mix.line] if mix.line else []
    encoded = encode_audio(storage, uri, container_of(job.output), scratch / "voice", seconds=seconds)
    return encoded.path, tuple(lines)
