"""A job as the command that renders it alone: what a person types to see a failure again; pure."""

import shlex
from fractions import Fraction

from pipeline.job import EncodeRequest, RenderJob
from tasks.table import task_entry
from tasks.task import TaskSpec

#: Options of storage that are nobody's to read in a report.
_SECRET = ("key", "secret", "token")


def command_of(job: RenderJob, *more: str) -> str:
    """`reelyard render SOURCE -o OUTPUT …`, quoted for a shell; without keys, which come from the environment."""
    words = ["reelyard", "render", job.source, "-o", job.output]
    for spec in job.tasks:
        words += ["--task", task_text(spec)]
    for option, value in valued_options(job):
        if value is not None:
            words += [option, value]
    for flag in ("quality", "deinterlace", "bake_rotation", "overwrite", "keep_parts"):
        if getattr(job, flag):
            words.append("--" + flag.replace("_", "-"))
    return shlex.join([*words, *more])


def task_text(spec: TaskSpec) -> str:
    """As `tasks.table.parse_task` reads it; options at their default left out."""
    usual = {option.name: option.default for option in task_entry(spec.name).options}
    pairs = [f"{k}={v}".replace(",", "\\,") for k, v in spec.options if v != usual[k]]
    return f"{spec.name}:{','.join(pairs)}" if pairs else spec.name


def valued_options(job: RenderJob) -> list[tuple[str, str | None]]:
    """(option, value) of what the job asks for besides places, tasks and flags; None where it is as usual."""
    usual = RenderJob("", "")
    encode, none = job.encode, EncodeRequest()
    return [
        ("--audio", job.audio),
        *(("--speaker", str(speaker)) for speaker in job.speakers),
        ("--sound", job.sound if job.sound != usual.sound else None),
        ("--fit", job.fit if job.audio and job.fit != usual.fit else None),
        ("--frame-rate", str(job.frame_rate) if job.frame_rate else None),
        ("--trim", _trim(job.trim)),
        ("--segment-seconds", f"{job.segment_seconds:g}" if job.segment_seconds else None),
        ("--codec", encode.codec if encode.codec != none.codec else None),
        ("--crf", f"{encode.crf:g}" if encode.crf is not None else None),
        ("--qp", str(encode.qp) if encode.qp is not None else None),
        ("--preset", encode.preset),
        ("--pixel-format", encode.pixel_format),
        ("--label", job.label),
        ("--decoder", job.decoder if job.decoder != usual.decoder else None),
        ("--damaged", job.damaged if job.damaged != usual.damaged else None),
        ("--alpha", job.alpha if job.alpha != usual.alpha else None),
        ("--quality-gate", ",".join(f"{name}={limit:g}" for name, limit in job.quality_gate) or None),
        ("--work", job.work),
        *(("--storage-option", f"{key}={value}") for key, value in job.storage_options if key not in _SECRET),
    ]


def _trim(trim: tuple[Fraction | None, Fraction | None]) -> str | None:
    if trim == (None, None):
        return None
    return ":".join("" if at is None else _decimal(at) for at in trim)


def _decimal(seconds: Fraction) -> str:
    """Exact, as far as it was written in decimals."""
    return f"{float(seconds):.9f}".rstrip("0").rstrip(".")
