"""From the model that a task's option names to a verified file on this node, and the task opened with it."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from pipeline.model import SUFFIXES, Model
from pipeline.model_file import catalogue, named
from pipeline.model_table import MODELS
from pipeline.models import ModelStore, sha256_of, usual_folder
from pipeline.photos import photos_here
from pipeline.storage import Storage
from tasks.errors import JobError, WeightsError
from tasks.table import Moment, Option, open_task, task_entry
from tasks.task import Task, TaskSpec
from tasks.weights import Weights


def with_weights(
    spec: TaskSpec, *, mirror: str = "", models: Mapping[str, Model] | None = None, added: Sequence[Model] = ()
) -> TaskSpec:
    """The specification with what is known of the weights that its options name; nothing is fetched.

    `models` are all that are known, by themselves Reelyard's own and those `added` by the user.

    Raises:
        JobError: an option names a model that is not in the catalogue, or one of another architecture.
        WeightsError: it names a file that is not there.
    """
    known = catalogue(MODELS, added) if models is None else models
    found = [_weights(spec, option, known, mirror) for option in _naming(spec)]
    return replace(spec, weights=tuple(found))


def check_models(spec: TaskSpec, added: Sequence[Model] = ()) -> None:
    """Refuse at once what `with_weights` would; reads no file.  `added` are models of the user's own.

    Raises:
        JobError: an option names a model that is not in the catalogue, or one of another architecture.
        WeightsError: it names a file that is not there.
    """
    known = catalogue(MODELS, added)
    for option in _naming(spec):
        value = spec.option(option.name)
        if is_file(value):
            _there(option, Path(value).absolute())
        else:
            _fitting(spec, option, known)


def absolute(spec: TaskSpec, place: Callable[[str], str] = os.path.abspath) -> TaskSpec:
    """The same with its files as `place` names them: for processes with other working folders."""
    files = {option.name for option in _naming(spec) if is_file(spec.option(option.name))}
    if not files:
        return spec
    options = ((key, place(value) if key in files else value) for key, value in spec.options)
    return replace(spec, options=tuple(options))


def is_file(value: str) -> bool:
    """Whether a value names a file of weights, not a model of the catalogue."""
    return "/" in value or value.endswith(SUFFIXES)


def fetched(storage: Storage, spec: TaskSpec, *, moment: Moment | None = None) -> TaskSpec:
    """The specification with its weights on this node, verified; each is downloaded once, whoever asks.

    `moment`: those that are read then; None: all.

    Raises:
        WeightsError: no source has them, or the bytes are others; names what to do.
    """
    when = {option.name: option.read for option in task_entry(spec.name).options}
    here = (moment in (None, when[weights.option]) for weights in spec.weights)
    both = zip(spec.weights, here, strict=True)
    return replace(spec, weights=tuple(_here(storage, spec, one) if wanted else one for one, wanted in both))


def open_here(storage: Storage, spec: TaskSpec) -> Task:
    """The task with the weights that it renders with on this node, not loaded yet.

    Raises:
        WeightsError: as for `fetched`.
    """
    return open_task(fetched(storage, spec, moment="render"))


def open_to_measure(storage: Storage, spec: TaskSpec) -> Task:
    """The task with the weights that it measures with.

    Raises:
        WeightsError: as for `fetched`.
    """
    return open_task(fetched(storage, spec, moment="measure"))


def open_to_conclude(storage: Storage, spec: TaskSpec) -> Task:
    """The task with the weights and photos that it concludes with.

    Raises:
        WeightsError: as for `fetched`.
        JobError: a photo cannot be read.
    """
    return open_task(photos_here(storage, fetched(storage, spec, moment="conclude")))


def check_weights(storage: Storage, specs: Sequence[TaskSpec]) -> None:
    """Fetch what tasks name and load it once, so that nothing is begun with weights or photos that do not fit.

    Raises:
        WeightsError: they are missing, altered or of another network.
        JobError: a photo shows no face.
    """
    for spec in specs:
        if spec.weights or spec.photos:
            _load_once(photos_here(storage, fetched(storage, spec)))


@lru_cache(maxsize=64)
def _load_once(spec: TaskSpec) -> None:
    """Once in this process, however many videos are planned with the same weights."""
    task = open_task(spec)
    task.load("cpu")
    task.release()


def terms_of(specs: Sequence[TaskSpec]) -> tuple[str, ...]:
    """What the licences of the named models forbid, as sentences."""
    return tuple(weights.terms for spec in specs for weights in spec.weights if weights.terms)


def _naming(spec: TaskSpec) -> list[Option]:
    """The options that name weights."""
    options = task_entry(spec.name).options
    return [one for one in options if one.architectures and spec.option(one.name) != one.default]


def _weights(spec: TaskSpec, option: Option, models: Mapping[str, Model], mirror: str) -> Weights:
    value = spec.option(option.name)
    if is_file(value):
        return _of_file(option, Path(value).absolute())
    model = _fitting(spec, option, models)
    uris = ModelStore(Path(), mirror).sources(model)
    return Weights(
        option.name, value, model.architecture, model.sha256, model.file, model.key, uris, model.page,
        model.size_bytes, model.terms,
    )  # fmt: skip


def _fitting(spec: TaskSpec, option: Option, models: Mapping[str, Model]) -> Model:
    """The model that an option names.

    Raises:
        JobError: there is none, or it is of another architecture.
    """
    model = named(models, spec.option(option.name))
    if model.architecture not in option.architectures:
        fitting = [m.name for m in models.values() if m.architecture in option.architectures]
        raise JobError(
            f"task {spec.name!r}: {option.name}={model.name} is {model.architecture}, for {model.task}; "
            f"expected one of {', '.join((option.default, *fitting))}, or a file of such weights"
        )
    return model


def _of_file(option: Option, path: Path) -> Weights:
    _there(option, path)
    sha256, size_bytes = _content(path), path.stat().st_size
    return Weights(option.name, str(path), option.architectures[0], sha256, path.name, size_bytes=size_bytes)


def _there(option: Option, path: Path) -> None:
    if not path.is_file():
        raise WeightsError(f"{option.name}={path}: no such file of weights; check the spelling")


def _content(path: Path) -> str:
    """The sha256 of a file; hashed once while it stays as it is, however many videos name it."""
    state = path.stat()
    return _content_of(path, state.st_size, state.st_mtime_ns, state.st_ino)


@lru_cache(maxsize=64)
def _content_of(path: Path, size_bytes: int, changed_ns: int, number: int) -> str:
    return sha256_of(path)


def _here(storage: Storage, spec: TaskSpec, weights: Weights) -> Weights:
    if is_file(weights.name):
        return replace(weights, path=str(_unchanged(weights)))
    model = Model(
        name=weights.name, task=spec.name, architecture=weights.architecture, file=weights.file,
        sha256=weights.sha256, licence="", urls=weights.uris, page=weights.page,
        size_bytes=weights.size_bytes, key=weights.key,
    )  # fmt: skip
    try:
        path = ModelStore(usual_folder(), storage=storage).fetch(model)
    except WeightsError as error:
        asked = f"task {spec.name!r} with {weights.option}={weights.name}"
        raise WeightsError(f"{asked}: {error}; `reelyard models fetch {weights.name}` tries again") from error
    return replace(weights, path=str(path))


def _unchanged(weights: Weights) -> Path:
    path = Path(weights.name)
    if not path.is_file():
        raise WeightsError(
            f"{path}: no such file on this node; put it where every node finds it under that name, "
            "or into a catalogue of your own (`--catalogue`) with an address"
        )
    if (found := _content(path)) != weights.sha256:
        raise WeightsError(
            f"{path}: found sha256 {found} on this node, expected {weights.sha256}; use one file for all"
        )
    return path
