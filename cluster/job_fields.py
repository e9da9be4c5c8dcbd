"""The fields of a render job by the command's own names: one grammar for options, job files and manifests; pure."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from pipeline.job import DECODERS, EncodeRequest, RenderJob, parse_fit, parse_frame_rate, parse_trim
from pipeline.model import Model
from pipeline.model_file import read_models
from pipeline.speakers import Speaker, read_speaker
from tasks.errors import JobError
from tasks.quality import parse_gate
from tasks.table import TASKS, parse_task, task_entry, task_spec
from tasks.task import TaskSpec


@dataclass(frozen=True)
class Field:
    """One field: what its value becomes, and where that goes."""

    read: Callable[[str, object], object]
    "(name, value as written) to the checked value; JobError names the field."
    place: str = "job"
    "job | encode: a field of RenderJob or EncodeRequest; shorthand: of the only task that takes it; item: of the run."


def _text(name: str, value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise JobError(f"--{_dashed(name)}: found {value!r}, expected text")
    if not (text := str(value).strip()):
        raise JobError(f"--{_dashed(name)}: found an empty text; expected some words, or leave it out")
    return text


def _number(name: str, value: object) -> float:
    try:
        return float(_text(name, value))
    except (ValueError, JobError) as error:
        raise JobError(f"--{_dashed(name)}: found {value!r}, expected a number") from error


def _integer(name: str, value: object) -> int:
    number = _number(name, value)
    if number != int(number):
        raise JobError(f"--{_dashed(name)}: found {value!r}, expected a whole number")
    return int(number)


def _weight(name: str, value: object) -> float:
    number = _number(name, value)
    if not 0 < number <= 1e6:
        raise JobError(f"--{_dashed(name)}: found {value!r}, expected a number above 0")
    return number


_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _flag(name: str, value: object) -> bool:
    found = value if isinstance(value, bool) else _WORDS.get(str(value).strip().lower())
    if found is None:
        raise JobError(f"--{_dashed(name)}: found {value!r}, expected true or false")
    return found


def _tasks(name: str, value: object) -> tuple[TaskSpec, ...]:
    """One task or several, each in the string grammar, or as {name: {option: value}}."""
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple(spec for one in listed for spec in _task(one))


def _task(value: object) -> tuple[TaskSpec, ...]:
    if isinstance(value, TaskSpec):
        return (value,)
    if isinstance(value, str):
        return (parse_task(value),) if value.strip() else ()
    if isinstance(value, Mapping):
        given = dict(value)
        if "name" in given:
            return (task_spec(str(given.pop("name")), _plain_options(given)),)
        return tuple(task_spec(str(name), _plain_options(options or {})) for name, options in given.items())
    raise JobError(f"--task: found {value!r}, expected NAME[:key=value,…] or {{NAME: {{key: value}}}}")


def _plain_options(given: object) -> dict[str, str]:
    if not isinstance(given, Mapping):
        raise JobError(f"--task: found options {given!r}, expected key: value pairs")
    return {str(name): _text(f"task option {name}", value) for name, value in given.items()}


def _speakers(name: str, value: object) -> tuple[Speaker, ...]:
    """`WHO=VOICE`, several of them, or {WHO: VOICE}."""
    if isinstance(value, Mapping):
        value = [f"{who}={_text(name, voice)}" for who, voice in value.items()]
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple(one if isinstance(one, Speaker) else read_speaker(_text(name, one)) for one in listed)


def _catalogue(name: str, value: object) -> tuple[Model, ...]:
    """The models of TOML files, seen from the folder in which the command was typed."""
    listed = value if isinstance(value, list | tuple) else [value]
    return tuple(model for one in listed for model in read_models(Path(_text(name, one))))


def _trim(name: str, value: object) -> object:
    """The string grammar, or [start, end]."""
    if isinstance(value, list | tuple) and len(value) == 2:
        value = ":".join("" if end is None else _text(name, end) for end in value)
    return parse_trim(_text(name, value))


def _segment_seconds(name: str, value: object) -> float:
    given = _number(name, value)
    if not 0.1 <= given <= 600:
        raise JobError(f"--segment-seconds {given:g}: expected 0.1 to 600 seconds")
    return given


def _one_of(*allowed: str) -> Callable[[str, object], str]:
    def read(name: str, value: object) -> str:
        return one_of(f"--{_dashed(name)}", _text(name, value), allowed)

    return read


def one_of(option: str, given: str, allowed: tuple[str, ...]) -> str:
    """`given`, if it is allowed.

    Raises:
        JobError: it is not.
    """
    if given not in allowed:
        raise JobError(f"{option} {given}: expected one of {', '.join(allowed)}")
    return given


#: Every field, by the name of its option.
FIELDS: Mapping[str, Field] = {
    "source": Field(_text),
    "output": Field(_text),
    "audio": Field(_text),
    "task": Field(_tasks),
    "speaker": Field(_speakers),
    "sound": Field(_one_of("mix", "main")),
    "fit": Field(lambda name, value: parse_fit(_text(name, value))),
    "face": Field(_text, "shorthand"),
    "identity": Field(_text, "shorthand"),
    "no_face": Field(_text, "shorthand"),
    "sync_offset": Field(_text, "shorthand"),
    "height": Field(_text, "shorthand"),
    "frame_rate": Field(lambda name, value: parse_frame_rate(_text(name, value))),
    "trim": Field(_trim),
    "label": Field(_text),
    "quality": Field(_flag),
    "quality_gate": Field(lambda name, value: parse_gate(_text(name, value))),
    "damaged": Field(_one_of("fail", "repeat")),
    "alpha": Field(_one_of("drop", "fail")),
    "decoder": Field(_one_of(*DECODERS)),
    "deinterlace": Field(_flag),
    "bake_rotation": Field(_flag),
    "segment_seconds": Field(_segment_seconds),
    "codec": Field(_text, "encode"),
    "crf": Field(_number, "encode"),
    "qp": Field(_integer, "encode"),
    "preset": Field(_text, "encode"),
    "pixel_format": Field(_text, "encode"),
    "overwrite": Field(_flag),
    "keep_parts": Field(_flag),
    "work": Field(_text),
    "models": Field(_text),
    "catalogue": Field(_catalogue),
    "name": Field(_text, "item"),
    "priority": Field(_integer, "item"),
    "group": Field(_text, "item"),
    "weight": Field(_weight, "item"),
    "product": Field(_flag, "item"),
}
_OTHER_NAMES = {"tasks": "task", "speakers": "speaker", "video": "source", "voice": "audio"}
#: Words of a key that would carry a secret, or say where one is used.
_SECRET = re.compile(r"secret|passw|token|credential|endpoint|access_?key|api_?key|storage_option|^key$|^aws_")


def field_names(written: Iterable[str]) -> dict[str, str]:
    """The field that each key as written stands for.

    Raises:
        JobError: a key is unknown, would carry a secret, or two of them are the same field.
    """
    names: dict[str, str] = {}
    for key in written:
        name = field_name(str(key))
        if name in names.values():
            raise JobError(f"{key!r}: found {name!r} twice; give it once")
        names[key] = name
    return names


@lru_cache(maxsize=4096)
def field_name(key: str) -> str:
    """`frame-rate` and `Frame Rate` are `frame_rate`.

    Raises:
        JobError: the key is unknown, or would carry a secret.
    """
    plain = re.sub(r"[\s-]+", "_", key.strip().lower())
    name = _OTHER_NAMES.get(plain, plain)
    if _SECRET.search(plain):
        raise JobError(
            f"{key!r}: a manifest is copied and logged, so it holds no endpoint and no secret; "
            "give --storage-option on the command line, or AWS_… in the environment"
        )
    if name not in FIELDS:
        raise JobError(f"{key!r} is no field{_nearest(name)}; fields are {', '.join(FIELDS)}")
    return name


def checked_fields(written: Mapping[str, object]) -> dict[str, object]:
    """Values by field, each checked by itself; None is as good as not written.

    Raises:
        JobError: a key or a value is wrong.
    """
    names = field_names(written)
    return {
        names[key]: FIELDS[names[key]].read(names[key], value) for key, value in written.items() if value is not None
    }


def job_of_fields(fields: Mapping[str, object], storage_options: tuple[tuple[str, str], ...] = ()) -> RenderJob:
    """The job of checked fields; what is not among them is as RenderJob has it.

    Raises:
        JobError: two of them do not go together.
    """
    placed: dict[str, dict[str, Any]] = {"job": {}, "encode": {}, "shorthand": {}, "item": {}}
    for name, value in fields.items():
        placed[FIELDS[name].place][name] = value
    job = {"source": "", "output": "", **placed["job"]}
    specs = cast(tuple[TaskSpec, ...], job.pop("task", ()))
    job["speakers"] = job.pop("speaker", ())
    for name, value in placed["shorthand"].items():
        specs = _with_shorthand(specs, name, value)
    if "fit" in job and "audio" not in job:
        raise JobError(f"--fit {job['fit']}: fits the video to a voice; found none; give one with --audio FILE")
    if {"crf", "qp"} <= placed["encode"].keys():
        raise JobError("--crf and --qp: found both; give one of them")
    return RenderJob(tasks=specs, encode=EncodeRequest(**placed["encode"]), storage_options=storage_options, **job)


def _with_shorthand(specs: tuple[TaskSpec, ...], name: str, value: str) -> tuple[TaskSpec, ...]:
    """The tasks with an option set in the only one of them that takes it."""
    option = f"--{_dashed(name)}"
    takers = [i for i, spec in enumerate(specs) if name in {o.name for o in task_entry(spec.name).options}]
    if not takers:
        found = ", ".join(spec.name for spec in specs) or "no task"
        known = " or ".join(e.name for e in TASKS if name in {o.name for o in e.options})
        raise JobError(f"{option} {value}: none of the tasks takes it (found {found}); add --task {known}")
    if len(takers) > 1:
        names = ", ".join(specs[i].name for i in takers)
        raise JobError(f"{option} {value}: taken by {names}; say it in each as --task NAME:{name}={value}")
    chosen = specs[takers[0]]
    changed = task_spec(chosen.name, {**dict(chosen.options), name: value})
    return tuple(changed if i == takers[0] else spec for i, spec in enumerate(specs))


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, FIELDS, 1, 0.6)
    return f": did you mean {near[0]!r}?" if near else ""
