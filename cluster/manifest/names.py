"""What outputs are called, and that no two are called the same; of the disk it knows links between folders alone.

A name is a template below the prefix: stem (of the source), audio (stem of the voice), task, line, index
(from 1), ext (the source's ending where the output can have it, else mp4), parent (folder of the source).
"""

import os
import string
from collections.abc import Mapping, Sequence
from functools import lru_cache

from cluster.manifest.expand import Single
from cluster.manifest.places import ending_of, is_remote, parent_of, stem_of
from cluster.manifest.values import Item, Problem
from pipeline.encoders import CONTAINERS, ENDINGS
from pipeline.inputs import inputs_of
from tasks.errors import JobError
from tasks.task import TaskSpec

NAME_FIELDS = ("stem", "audio", "task", "line", "index", "ext", "parent")
_ONE_VOICE, _SEVERAL_VOICES = "{stem}.{ext}", "{stem}_{audio}.{ext}"


def check_template(template: str) -> None:
    """Nothing, if a name can be made of it.

    Raises:
        JobError: an unknown field, or braces that do not match.
    """
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise JobError(f"--name {template}: {error}; a brace itself is written {{{{ or }}}}") from error
    for name in fields:
        if name not in NAME_FIELDS:
            shown = f"{{{name}}}"
            raise JobError(f"--name {template}: found {shown}, expected one of {{{'}, {'.join(NAME_FIELDS)}}}")


def output_name(single: Single, index: int) -> str:
    """The output's name below the prefix.

    Raises:
        JobError: the template is wrong, asks for a voice that is not there, or leads elsewhere.
    """
    template = str(single.fields.get("name") or (_SEVERAL_VOICES if single.several_voices else _ONE_VOICE))
    check_template(template)
    try:
        name = template.format_map(_values(single, index))
    except (KeyError, ValueError) as error:
        fault = "asks for {audio}, but the job has no voice" if isinstance(error, KeyError) else str(error)
        raise JobError(f"--name {template}: {fault}") from error
    if "." not in name.rpartition("/")[2]:
        name = f"{name}.{_ending(single)}"
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise JobError(f"--name {template}: gives {name!r}, expected a name below the output prefix")
    return name


def _values(single: Single, index: int) -> dict[str, object]:
    fields, source = single.fields, str(single.fields["source"])
    tasks = fields.get("task", ())
    names = [task.name for task in tasks if isinstance(task, TaskSpec)] if isinstance(tasks, tuple) else []
    values: dict[str, object] = {
        "stem": stem_of(source), "task": "+".join(names) or "unchanged", "line": single.line, "index": index,
        "ext": _ending(single), "parent": parent_of(source),
    }  # fmt: skip
    return {**values, "audio": stem_of(str(fields["audio"]))} if "audio" in fields else values


def _ending(single: Single) -> str:
    """The source's own where that container holds the codec, else the first that does."""
    codec = str(single.fields.get("codec", "auto"))
    known = {name for names in CONTAINERS.values() for name in names}
    holding = [c for c, codecs in CONTAINERS.items() if codec not in known or codec in codecs]
    own = ending_of(str(single.fields["source"]))
    return own if ENDINGS.get(own) in holding else holding[0]


def _read_key(uri: str) -> str:
    """Equal for two spellings of one file that is read; links lead to what they stand for."""
    return uri if is_remote(uri) else os.path.realpath(uri.removeprefix("file://"))


def _written_key(uri: str) -> str:
    """Equal for two spellings of one place that is written; a link there is replaced, not followed."""
    if is_remote(uri):
        return uri
    folder, name = os.path.split(uri.removeprefix("file://"))
    return f"{_real_folder(folder)}/{name}"


@lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def clashes(items: Sequence[Item]) -> list[Problem]:
    """Outputs that would be written twice, or over what another item reads."""
    problems: list[Problem] = []
    first: dict[str, Item] = {}
    read = _read_places(items)
    for item in items:
        place = _written_key(item.job.output)
        other = first.setdefault(place, item)
        if other is not item:
            problems.append(
                Problem(item.line, f"output {item.job.output}: also that of {_whose(other, item)}; {_APART}")
            )
        reader = read.get(place)
        if reader is not None and reader is not item:
            problems.append(
                Problem(item.line, f"output {item.job.output}: is read by {_whose(reader, item)}; {_ELSEWHERE}")
            )
    return problems


_APART = "tell them apart with --name, as '{parent}/{stem}.{ext}' or '{stem}_{audio}.{ext}', or a name of its own"
_ELSEWHERE = "a source is never overwritten: write elsewhere with -o, or give another name"


def _read_places(items: Sequence[Item]) -> Mapping[str, Item]:
    first: dict[str, Item] = {}
    for item in items:
        for _, uri in inputs_of(item.job):
            first.setdefault(uri, item)
    return {_read_key(uri): item for uri, item in reversed(first.items())}


def _whose(item: Item, asking: Item) -> str:
    """The other item, by its line where that says something."""
    if item.line and item.line != asking.line:
        return f"line {item.line}"
    return f"{item.job.source}" + (f" with {item.job.audio}" if item.job.audio else "")
