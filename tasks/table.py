"""The table of tasks: names, options, and where each lives; a task's own module is imported when opened.

parse_task("lip-sync:face=left,no_face=fail")  ->  TaskSpec, checked and complete
open_task(spec)                                ->  Task
"""

import difflib
import importlib
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tasks.errors import JobError
from tasks.faces.selector import EXPECTED, parse_face_selector
from tasks.picture import PictureFormat
from tasks.runtime.choice import PRECISIONS, RUNTIMES, Machine
from tasks.task import Task, TaskSpec
from tasks.upscale import size
from tasks.upscale.size import ARCHITECTURES

Moment = Literal["measure", "conclude", "render"]


@dataclass(frozen=True)
class Option:
    """One option of a task."""

    name: str
    default: str
    help: str
    fault: Callable[[str], str]
    "What was expected of a value, empty where the value is right."
    architectures: tuple[str, ...] = ()
    "Of the weights that a value other than the default names: a model of the catalogue, or a file."
    read: Moment = "render"
    "Where such weights are read: the source is measured, the video concluded, or rendered."
    selects: bool = False
    "The value chooses faces, and may name a photo."


def same_size(spec: TaskSpec, format: PictureFormat) -> tuple[int, int]:
    return format.width, format.height


@dataclass(frozen=True)
class TaskEntry:
    """One row of the table."""

    name: str
    help: str
    module: str
    factory: str
    "A callable of `module` that takes the TaskSpec and gives the Task."
    options: tuple[Option, ...] = ()
    needs_audio: bool = False
    "As the task's own `needs` says; here it can be read without importing the task."
    needs_scan: bool = False
    "Likewise."
    output_size: Callable[[TaskSpec, PictureFormat], tuple[int, int]] = same_size
    "(width, height) as stored of what leaves the task, by what enters it; JobError where it cannot be."
    checks_itself: bool = False
    "Whether it can say how good its drawing came out (`tasks.quality.SelfChecking`)."
    computes: Callable[[TaskSpec], bool] = lambda spec: False
    "Whether how it is computed, and at which precision, is chosen by a machine."
    internal: bool = False
    "Asked for by an option of the command, not by `--task`."


def one_of(*values: str) -> Callable[[str], str]:
    return lambda value: "" if value in values else f"one of {', '.join(values)}"


def of_a_network(spec: TaskSpec) -> bool:
    """Whether options leave a choice: what ships draws in fp32 everywhere, unless a back end was asked for."""
    return spec.option("model") != "embedded" or spec.option("runtime") != size.AUTO


def number(low: float, high: float, unit: str) -> Callable[[str], str]:
    def fault(value: str) -> str:
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        return "" if low <= found <= high else f"{unit} from {low:g} to {high:g}"

    return fault


def number_or(word: str, low: float, high: float, unit: str) -> Callable[[str], str]:
    fault = number(low, high, unit)
    return lambda value: "" if value == word or not fault(value) else f"{fault(value)}, or {word}"


def face_selector(value: str) -> str:
    try:
        parse_face_selector(value)
    except ValueError:
        return EXPECTED
    return ""


def any_text(value: str) -> str:
    return "" if value.strip() else "some text"


TASKS: tuple[TaskEntry, ...] = (
    TaskEntry("identity", "changes nothing: tries the whole chain", "tasks.identity", "IdentityTask"),
    TaskEntry(
        "rehearsal",
        "draws nothing and takes its time: tries a cluster without a model",
        "tasks.rehearsal",
        "RehearsalTask",
        (
            Option("milliseconds", "0", "how long a picture holds the device", number(0, 60_000, "milliseconds")),
            Option("fail_at", "-1", "output frame at which it fails; -1: none", number(-1, 1e9, "a frame number")),
            Option("too_large_for", "none", "runs out of memory: none, gpu, all", one_of("none", "gpu", "all")),
            Option("slower", "1", "how many times slower one process is", number(1, 1000, "times")),
            Option("slower_file", "none", "the process that can make this file is the slower one", any_text),
        ),
    ),
    TaskEntry(
        "label",
        "a visible text on every frame",
        "tasks.label",
        "LabelTask",
        (Option("text", "", "what the label says", any_text),),
        internal=True,
    ),
    TaskEntry(
        "lip-sync",
        "the mouth speaks the given audio",
        "tasks.lip_sync.task",
        "LipSyncTask",
        (
            Option(
                "face",
                "largest",
                "which face: largest, all, left, right, #N, track:N, like:PHOTO",
                face_selector,
                selects=True,
            ),
            Option("no_face", "keep", "frames without a usable face: keep or fail", one_of("keep", "fail")),
            Option(
                "sync_offset",
                "0",
                "milliseconds by which the mouth comes later; auto: as early or late as the source's own mouth is",
                number_or("auto", -2000, 2000, "milliseconds"),
            ),
            Option(
                "model",
                "embedded",
                "who draws the mouth: embedded (needs no download), wav2lip, wav2lip-gan, or a file of such weights",
                any_text,
                ("wav2lip-96", "wav2lip-288", "wav2lip-384"),
            ),
            Option(
                "precision",
                "auto",
                "of a generator: fp32, bf16, or auto: bf16 on processors with arithmetic for it, else fp32",
                one_of("auto", "fp32", "bf16"),
            ),
            Option(
                "runtime",
                "auto",
                "what computes a generator: auto, eager, compile (torch.compile), graphs (CUDA), onnx (ONNX Runtime)",
                one_of("auto", *RUNTIMES),
            ),
            Option(
                "silence",
                "rest",
                "where nobody speaks for a while: the source's mouth while it is closed (rest), always (keep), or what "
                "a generator makes of silence (draw)",
                one_of("rest", "draw", "keep"),
            ),
            Option(
                "mask",
                "hull",
                "what of a generated face is shown: hull (mouth and jaw), box (the lower half), or parsing (what of "
                "that the network of `parsing` takes for face)",
                one_of("hull", "box", "parsing"),
            ),
            Option(
                "occlusion",
                "keep",
                "what lies before a mouth, as a microphone: keep it, seen over the whole video; parsing: keep what the "
                "network of `parsing` takes for no face; draw over it",
                one_of("keep", "parsing", "draw"),
            ),
            Option(
                "parsing",
                "none",
                "what tells parts of faces, for mask=parsing and occlusion=parsing: none, face-parsing-18, or a file",
                any_text,
                ("bisenet-18",),
            ),
            Option(
                "detector",
                "embedded",
                "what finds faces: embedded (cascades, need no download), yunet, s3fd, retinaface-mobile, "
                "retinaface-resnet50, or a file of such weights",
                any_text,
                ("yunet", "s3fd", "retinaface-mobile0.25", "retinaface-resnet50"),
                read="measure",
            ),
            Option(
                "restore",
                "none",
                "what gives faces back their detail after the mouth was drawn: none, gfpgan, gfpgan-1.3, or a file",
                any_text,
                ("gfpgan-clean",),
            ),
            Option(
                "restore_strength", "0.8", "share of the restored face against the drawn one", number(0, 1, "a share")
            ),
            Option(
                "restore_area",
                "mouth",
                "what of the face is restored: mouth (with the jaw, as far as it is drawn) or face",
                one_of("mouth", "face"),
            ),
            Option(
                "sync_model",
                "embedded",
                "what hears how far sound and mouths are apart: embedded (needs no download), syncnet, or a file of it",
                any_text,
                ("syncnet-color",),
                read="conclude",
            ),
            Option(
                "identity",
                "embedded",
                "what tells people apart: embedded (needs no download), arcface, or a file of such weights",
                any_text,
                ("arcface-r50",),
                read="conclude",
            ),
        ),
        needs_audio=True,
        needs_scan=True,
        checks_itself=True,
        computes=of_a_network,
    ),
    TaskEntry(
        "upscale",
        "larger pictures, their detail drawn by a network",
        "tasks.upscale.task",
        "UpscaleTask",
        (
            Option(
                "factor", size.AUTO, "how many times larger: 2, 3, 4; 2 by itself", one_of(size.AUTO, *size.FACTORS)
            ),
            Option("height", size.AUTO, "lines as shown, in place of a factor: 2160", size.height_fault),
            Option(
                "model",
                "embedded",
                "whose detail: embedded (needs no download), a model of `reelyard models list`, or a file of weights",
                any_text,
                ARCHITECTURES,
            ),
            Option(
                "mix",
                "none",
                "a second model of the same network, as realesr-general-wdn-x4v3 beside realesr-general-x4v3",
                any_text,
                ARCHITECTURES,
            ),
            Option("denoise", "1", "share of `model` against `mix`, which removes less noise", number(0, 1, "a share")),
            Option("tile", size.AUTO, "side of the tiles that the network sees: auto, or pixels", size.tile_fault),
            Option(
                "precision",
                size.AUTO,
                "of the network: auto (the least that it bears and the device computes), fp32, fp16, bf16",
                one_of(size.AUTO, *PRECISIONS),
            ),
            Option(
                "runtime",
                size.AUTO,
                "what computes the network: auto, eager, compile (torch.compile), graphs (CUDA), onnx (ONNX Runtime)",
                one_of(size.AUTO, *RUNTIMES),
            ),
        ),
        output_size=size.output_size,
        computes=of_a_network,
    ),
)


def parse_task(text: str) -> TaskSpec:
    """`NAME[:key=value,…]` as a complete specification; in values `\\,` stands for a comma.

    Raises:
        JobError: the name, an option or a value is not the table's; says what comes nearest.
    """
    name, _, rest = text.partition(":")
    given: dict[str, str] = {}
    for pair in re.split(r"(?<!\\),", rest) if rest else []:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise JobError(f"--task {text!r} has {pair!r}, expected key=value pairs separated by commas")
        if key.strip() in given:
            raise JobError(f"--task {text!r} gives {key.strip()!r} twice, expected once")
        given[key.strip()] = value.strip().replace("\\,", ",")
    return task_spec(name.strip(), given)


def task_spec(name: str, options: Mapping[str, str]) -> TaskSpec:
    """A specification with every option, defaults included, each value checked.

    Raises:
        JobError: as for `parse_task`.
    """
    entry = task_entry(name)
    names = [option.name for option in entry.options]
    for key in options:
        if key not in names:
            takes = f"it takes {', '.join(names)}" if names else "it takes none"
            raise JobError(f"task {name!r} has no option {key!r}{_nearest(key, names)}; {takes}")
    values = {option.name: options.get(option.name, option.default) for option in entry.options}
    for option in entry.options:
        if expected := option.fault(values[option.name]):
            raise JobError(f"task {name!r}: {option.name} is {values[option.name]!r}, expected {expected}")
    return TaskSpec(name, tuple(sorted(values.items())))


def task_entry(name: str) -> TaskEntry:
    """The row of a task.

    Raises:
        JobError: there is none; says what comes nearest.
    """
    for entry in TASKS:
        if entry.name == name:
            return entry
    names = [entry.name for entry in TASKS if not entry.internal]
    raise JobError(f"there is no task {name!r}{_nearest(name, names)}; tasks are {', '.join(names)}")


def formats_through(specs: Sequence[TaskSpec], format: PictureFormat) -> tuple[PictureFormat, ...]:
    """What enters each task of a chain, and last what leaves it.

    Raises:
        JobError: a task cannot take what would come to it; says in what order it could.
    """
    formats = [format]
    for spec in specs:
        entry, before = task_entry(spec.name), formats[-1]
        if entry.needs_scan and before != format:
            raise JobError(
                f"task {spec.name!r} looks at the source's pictures ({format.width}x{format.height}), but stands after "
                f"a task that makes them {before.width}x{before.height}: put it first"
            )
        width, height = entry.output_size(spec, before)
        formats.append(replace(before, width=width, height=height))
    return tuple(formats)


def computed_like(specs: Sequence[TaskSpec], machine: Callable[[], Machine]) -> tuple[TaskSpec, ...]:
    """The specifications with the one machine that all nodes choose by, asked for only where there is a choice."""
    if not any(task_entry(spec.name).computes(spec) for spec in specs):
        return tuple(specs)
    like = machine()
    return tuple(replace(spec, machine=like) if task_entry(spec.name).computes(spec) else spec for spec in specs)


def options_for(architecture: str) -> tuple[str, ...]:
    """The options that take weights of an architecture, each as `TASK:OPTION`; none where nothing reads them yet."""
    return tuple(
        f"{entry.name}:{option.name}"
        for entry in TASKS
        for option in entry.options
        if architecture in option.architectures
    )


def open_task(spec: TaskSpec) -> Task:
    """The task itself, not loaded yet; imports what it needs.

    Raises:
        JobError: the specification is not the table's, or the task refuses it.
    """
    entry = task_entry(spec.name)
    checked = task_spec(spec.name, dict(spec.options))
    factory: Callable[[TaskSpec], Task] = getattr(importlib.import_module(entry.module), entry.factory)
    return factory(replace(spec, options=checked.options))


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1, 0.5)
    return f": did you mean {near[0]!r}?" if near else ""
