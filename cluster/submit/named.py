"""Files that stand inside the words of a command: voices of speakers, photos of faces, weights of tasks; pure."""

import os
from collections.abc import Callable, Mapping

from cluster.command_of import task_text
from pipeline import photos, speakers
from pipeline.weights import absolute, is_file
from tasks.errors import JobError
from tasks.table import parse_task

Place = Callable[[str], str]


def with_named(values: Mapping[str, object], place: Place, *, one_machine: bool) -> dict[str, object]:
    """The values with voices and photos where `place` puts them, and weights as the cluster's nodes name them.

    Raises:
        JobError: a file of weights would mean another file, or none, on the cluster.
    """

    def weights(path: str) -> str:
        return _weights(path, one_machine=one_machine)

    found: dict[str, object] = {}
    if given := _texts(values.get("speaker")):
        placed = speakers.placed(tuple(map(speakers.read_speaker, given)), place)
        found["speaker"] = [str(one) for one in placed]
    if given := _texts(values.get("task")):
        found["task"] = [task_text(absolute(photos.placed(parse_task(text), place), weights)) for text in given]
    if given := _texts(values.get("catalogue")):
        found["catalogue"] = [weights(path) for path in given]
    for name in ("face", "identity"):
        text = values.get(name)
        if isinstance(text, str) and text.startswith("like:"):
            found[name] = photos.with_photo_at(text, place)
        elif name == "identity" and isinstance(text, str) and is_file(text):
            found[name] = weights(text)
    return found


def _weights(path: str, *, one_machine: bool) -> str:
    if one_machine:
        return os.path.abspath(path)
    if os.path.isabs(path):
        return path
    raise JobError(
        f"weights {path}: a path of this machine, which the cluster cannot read; name one of `reelyard models list`, "
        "or an absolute path under which every node has the file"
    )


def _texts(value: object) -> list[str]:
    return [str(text) for text in value] if isinstance(value, list | tuple) else []
