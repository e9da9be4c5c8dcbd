"""From what was typed to a checked job; pure, imports neither torch nor ray."""

from cluster.cli.options import RenderOptions
from pipeline.job import EncodeRequest, RenderJob, parse_fit, parse_frame_rate, parse_trim
from tasks.errors import JobError
from tasks.table import parse_task, task_entry, task_spec
from tasks.task import TaskSpec

#: Options of the command that stand for an option of a task.
_SHORTHANDS = {"face": "--face", "no_face": "--no-face"}


def job_of(options: RenderOptions) -> RenderJob:
    """The job.

    Raises:
        JobError: an option's value is wrong, or two of them do not go together.
    """
    specs = tuple(parse_task(text) for text in options.task or ())
    for name, value in (("face", options.face), ("no_face", options.no_face)):
        if value is not None:
            specs = _with_shorthand(specs, name, value)
    if options.fit is not None and options.audio is None:
        raise JobError(f"--fit {options.fit}: fits the video to a voice; found none; give one with --audio FILE")
    return RenderJob(
        source=options.source,
        output=options.output,
        tasks=specs,
        audio=options.audio,
        fit=parse_fit(options.fit or "audio"),
        frame_rate=parse_frame_rate(options.frame_rate) if options.frame_rate else None,
        trim=parse_trim(options.trim) if options.trim else (None, None),
        segment_seconds=_segment_seconds(options.segment_seconds),
        encode=_encode_request(options),
        label=_label(options.label),
        damaged=_one_of("--damaged", options.damaged, ("fail", "repeat")),
        alpha=_one_of("--alpha", options.alpha, ("drop", "fail")),
        deinterlace=options.deinterlace,
        bake_rotation=options.bake_rotation,
        overwrite=options.overwrite,
        keep_parts=options.keep_parts,
        work=options.work,
        storage_options=storage_options(options.storage_option or ()),
    )


def check_device(asked: str) -> str:
    """The value of --device.

    Raises:
        JobError: none of auto, cpu, cuda, cuda:N.
    """
    if asked.startswith("cuda:") and asked[5:].isdecimal():
        return asked
    return _one_of("--device", asked, ("auto", "cpu", "cuda"))


def storage_options(given: list[str] | tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """`--storage-option key=value` as sorted pairs.

    Raises:
        JobError: no `=`, or a key given twice.
    """
    pairs: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise JobError(f"--storage-option {text}: expected KEY=VALUE, as endpoint_url=http://host:9000")
        if key in pairs:
            raise JobError(f"--storage-option {key}: found twice; give it once")
        pairs[key] = value
    return tuple(sorted(pairs.items()))


def _with_shorthand(specs: tuple[TaskSpec, ...], name: str, value: str) -> tuple[TaskSpec, ...]:
    """The tasks with an option set in the only one of them that takes it."""
    option = _SHORTHANDS[name]
    takers = [i for i, spec in enumerate(specs) if name in {o.name for o in task_entry(spec.name).options}]
    if not takers:
        found = ", ".join(spec.name for spec in specs) or "no task"
        raise JobError(f"{option} {value}: none of the tasks takes it (found {found}); add --task lip-sync")
    if len(takers) > 1:
        names = ", ".join(specs[i].name for i in takers)
        raise JobError(f"{option} {value}: taken by {names}; say it in each as --task NAME:{name}={value}")
    chosen = specs[takers[0]]
    changed = task_spec(chosen.name, {**dict(chosen.options), name: value})
    return tuple(changed if i == takers[0] else spec for i, spec in enumerate(specs))


def _encode_request(options: RenderOptions) -> EncodeRequest:
    if options.crf is not None and options.qp is not None:
        raise JobError("--crf and --qp: found both; give one of them")
    return EncodeRequest(options.codec, options.crf, options.qp, options.preset, options.pixel_format)


def _segment_seconds(given: float | None) -> float | None:
    if given is not None and not 0.1 <= given <= 600:
        raise JobError(f"--segment-seconds {given:g}: expected 0.1 to 600 seconds")
    return given


def _label(given: str | None) -> str | None:
    if given is not None and not given.strip():
        raise JobError("--label: found an empty text; expected some words")
    return given


def _one_of(option: str, given: str, allowed: tuple[str, ...]) -> str:
    if given not in allowed:
        raise JobError(f"{option} {given}: expected one of {', '.join(allowed)}")
    return given
