"""From a job to a plan of the whole render: everything is checked here, before any work is done."""

import shutil
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from pipeline.audio import AudioFacts, open_audio
from pipeline.carry import CarryPlan, plan_carry
from pipeline.decode import decoded_format
from pipeline.duplicates import content_key
from pipeline.encoders import choose_encoding, container_of
from pipeline.index import SourceIndex
from pipeline.inputs import inputs_of
from pipeline.job import RenderJob
from pipeline.keys import digest_of, job_key
from pipeline.part import EncodeSpec
from pipeline.photos import with_photos
from pipeline.probe import probe
from pipeline.segments import ScanUnit, Segment, plan_scan_units, plan_segments
from pipeline.speakers import check_speakers, with_speakers
from pipeline.storage import Storage
from pipeline.timeline import Timeline, plan_timeline
from pipeline.weights import check_models, terms_of, with_weights
from pipeline.work import Decoding
from tasks.errors import JobError, ResourceShortage
from tasks.picture import PictureFormat
from tasks.table import formats_through, task_entry
from tasks.task import TaskSpec
from tasks.upright import upright_format


@dataclass(frozen=True, eq=False)
class RenderPlan:
    """All that is settled before the first frame is decoded."""

    job: RenderJob
    key: str
    prefix: str
    "URI under which parts, scans and indexes lie."
    index: SourceIndex
    voices: tuple[AudioFacts, ...]
    "The job's own, then those of its speakers."
    timeline: Timeline
    segments: tuple[Segment, ...]
    units: tuple[ScanUnit, ...]
    specs: tuple[TaskSpec, ...]
    "The tasks of the job, the label last."
    formats: tuple[PictureFormat, ...]
    "Of what enters each task, and last of what leaves them all."
    format: PictureFormat
    "Of the frames that enter the encoder: the last of these, upright where that is baked in."
    encode: EncodeSpec
    carry: CarryPlan
    notes: tuple[str, ...]
    content: str
    "Of the source: equal for equal packets and bytes, whatever it is called and wherever it lies."


def label_spec(text: str) -> TaskSpec:
    """The visible label as the last task of a chain."""
    return TaskSpec("label", (("text", text),))


def work_prefix(job: RenderJob) -> str:
    """Where parts lie: the asked work URI, else a folder named like the output and beside it."""
    return job.work.rstrip("/") if job.work else f"{job.output}.work"


def scan_prefix(job: RenderJob, content: str) -> str:
    """Where a scan of a source of this content lies, for every output of it: in work storage, else beside them."""
    if job.work:
        return f"{work_prefix(job)}/scan"
    folder, slash, _ = job.output.rpartition("/")
    return f"{folder}{slash}.reelyard/{content[:16]}/scan"


def decoding_of(job: RenderJob) -> Decoding:
    return Decoding(job.damaged, job.deinterlace)


def prepare(storage: Storage, job: RenderJob, *, cached: bool = True) -> RenderPlan:
    """Probe, check and plan; the index is kept in work storage where `cached`.

    Raises:
        JobError: the request cannot be met; says what would work.
        SourceError: the source or the voice cannot be read.
    """
    container = container_of(job.output)
    prefix = work_prefix(job)
    job = replace(job, tasks=tuple(_known(storage, spec, job) for spec in job.tasks))
    specs = (*job.tasks, *((label_spec(job.label),) if job.label else ()))
    index = probe(storage, job.source, cache_prefix=f"{prefix}/index" if cached else None)
    _check_source(index, job, bool(specs))
    voices = tuple(open_audio(storage, uri) for uri in voices_of(job))
    timeline = plan_timeline(index, job, max((one.duration_seconds for one in voices), default=None))
    formats = formats_through(specs, decoded_format(index, deinterlace=job.deinterlace))
    format = upright_format(formats[-1]) if job.bake_rotation else formats[-1]
    carry = plan_carry(index, timeline, container, new_audio=bool(voices), bake_rotation=job.bake_rotation)
    encode = choose_encoding(format, timeline, job.encode, container, hdr=carry.hdr)
    content = content_key(storage, index)
    said = (_read_whole(storage, index), index.conversion, _resized(formats), *encode.notes, *carry.lines)
    notes = tuple(dict.fromkeys(filter(None, (*said, *terms_of(specs)))))
    return RenderPlan(
        job, job_key(job, content, _voices_key(storage, job)), prefix, index, voices, timeline,
        plan_segments(index, timeline, job.segment_seconds), plan_scan_units(index, timeline),
        specs, formats, format, encode, carry, notes, content,
    )  # fmt: skip


def _known(storage: Storage, spec: TaskSpec, job: RenderJob) -> TaskSpec:
    """The specification with all that the plan knows of it: weights, photos, who has which voice."""
    return with_photos(storage, with_speakers(with_weights(spec, mirror=job.models, added=job.catalogue), job.speakers))


def voices_of(job: RenderJob) -> tuple[str, ...]:
    """The job's own voice, then those of its speakers."""
    return (job.audio, *(one.audio for one in job.speakers)) if job.audio else ()


def _voices_key(storage: Storage, job: RenderJob) -> str | None:
    """By what the output's voices are known again."""
    keys = [storage.identity(uri).key for uri in voices_of(job)]
    return digest_of(keys, job.sound) if len(keys) > 1 else next(iter(keys), None)


def _read_whole(storage: Storage, index: SourceIndex) -> str:
    """What is said of a remote source that was read from end to end to be indexed; empty for others."""
    if storage.local_path(index.uri) is not None or "mov" in index.container:
        return ""
    return (
        f"{index.uri}: all {index.identity.size / 1e6:.0f} MB were read once for the index, which a file of kind "
        f"{index.container} does not have; .mp4 is indexed by a few MB"
    )


def _resized(formats: tuple[PictureFormat, ...]) -> str:
    """What is said of pictures that get another size; empty where they keep theirs."""
    before, after = formats[0], formats[-1]
    if (before.width, before.height) == (after.width, after.height):
        return ""
    return (
        f"size {before.width}x{before.height} becomes {after.width}x{after.height}: every pixel is drawn anew, "
        "none is the source's"
    )


def check_request(storage: Storage, job: RenderJob, *, voiced: bool = True) -> None:
    """What can be refused at once, without a process, a network or a decoder; a scan needs no voice.

    Raises:
        JobError: the request cannot be met; says what would work.
    """
    container_of(job.output)
    _check_uris(storage, job)
    check_speakers(job.speakers, job.tasks, job.audio)
    needing = [spec.name for spec in job.tasks if task_entry(spec.name).needs_audio]
    if voiced and needing and job.audio is None:
        raise JobError(f"{', '.join(needing)} needs a voice; found none; give one with --audio FILE")
    if job.checked and not any(task_entry(spec.name).checks_itself for spec in job.tasks):
        found = ", ".join(spec.name for spec in job.tasks) or "no task"
        raise JobError(f"--quality: nothing is drawn that can be checked (found {found}); add --task lip-sync")
    for spec in job.tasks:
        check_models(spec, job.catalogue)
    for what, uri in inputs_of(job):
        path = storage.local_path(uri)
        if path is not None and not path.exists():
            raise JobError(f"{what} {uri}: no such file; check the spelling")


def _check_uris(storage: Storage, job: RenderJob) -> None:
    if _same(storage, job.source, job.output):
        raise JobError(f"output {job.output} is the source itself; name another output")
    if any(_same(storage, uri, job.output) for uri in voices_of(job)):
        raise JobError(f"output {job.output} is the voice itself; name another output")
    if job.output.startswith(("http://", "https://")):
        raise JobError(f"output {job.output}: http is read only; expected a path or s3://, gs://, az://")


def _same(storage: Storage, one: str, other: str) -> bool:
    a, b = storage.local_path(one), storage.local_path(other)
    if a is None or b is None:
        return one == other
    try:
        return a.samefile(b)
    except OSError:  # One of them is not there.
        return a == b


def _check_source(index: SourceIndex, job: RenderJob, altered: bool) -> None:
    uri = index.uri
    if altered and index.format.orientation is None:
        raise JobError(
            f"{uri}: its display matrix turns it by an angle that is no multiple of 90 degrees; tasks cannot "
            "stand it upright; render it without tasks, or straighten it first"
        )
    if altered and index.format.field_order != "progressive" and not job.deinterlace:
        raise JobError(f"{uri}: interlaced ({index.format.field_order}); tasks need whole pictures; add --deinterlace")
    if job.alpha == "fail" and any("alpha" in line for line in index.dropped):
        raise JobError(f"{uri}: has an alpha channel, which the output cannot hold; use --alpha drop")


def check_scratch(plan: RenderPlan, scratch: Path) -> None:
    """Room for the parts in flight and the stitched file, from the source's own bit rate and the output's size.

    Raises:
        ResourceShortage: less is free than is likely needed.
    """
    seconds = float(plan.timeline.duration_seconds)
    lossless = plan.encode.encoder in ("ffv1", "prores_ks") or ("qp", "0") in plan.encode.options
    raw = len(plan.timeline) * plan.format.frame_bytes
    rate = plan.index.identity.size / max(1.0, float(_source_seconds(plan.index)))
    larger = plan.format.frame_bytes / plan.formats[0].frame_bytes
    need = int(raw * 0.6) if lossless else int(min(raw * 0.1, 3 * rate * seconds * larger) + 64e6)
    free = shutil.disk_usage(scratch).free
    if free < need:
        raise ResourceShortage(
            f"scratch {scratch}: {free / 1e9:.1f} GB free, about {need / 1e9:.1f} GB needed; "
            "free some space or point TMPDIR at a larger disk"
        )


def _source_seconds(index: SourceIndex) -> Fraction:
    return (index.end_pts - int(index.frame_pts[0])) * index.stream.time_base
