"""Models that a user adds: a TOML file read into values; unknown words are refused with the nearest one.

    [models.my-wav2lip]
    task = "lip sync"
    architecture = "wav2lip-96"
    file = "mine.safetensors"
    sha256 = "…"                      # as sha256sum prints
    licence = "ours"
    urls = ["s3://models/mine.safetensors", "mine.safetensors"]

A plain relative path in `urls` is taken from the folder of the TOML file.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, cast

from pipeline.model import Model
from pipeline.storage import scheme_of
from tasks.errors import JobError

_FIELDS = {field.name: field for field in fields(Model) if field.name != "name"}
_LISTS = ("urls", "forbids", "precisions")


def read_models(path: Path) -> tuple[Model, ...]:
    """The models of a TOML file, in its order.

    Raises:
        JobError: it cannot be read, or says what no model has.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise JobError(f"{path}: cannot be read: {error.strerror}; expected a TOML file of models") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: is no TOML: {error}") from error
    tables = document.get("models")
    if set(document) != {"models"} or not isinstance(tables, dict) or not tables:
        raise JobError(f"{path}: found {', '.join(document) or 'nothing'}; expected tables named [models.NAME] alone")
    return tuple(_model(path, name, table) for name, table in tables.items())


def catalogue(own: Iterable[Model], added: Iterable[Model]) -> Mapping[str, Model]:
    """All models by name.

    Raises:
        JobError: a name is taken twice.
    """
    found: dict[str, Model] = {}
    for model in (*own, *added):
        if model.name in found:
            raise JobError(f"model {model.name!r} is there already; give yours another name")
        found[model.name] = model
    return found


def named(models: Mapping[str, Model], name: str) -> Model:
    """The model of that name.

    Raises:
        JobError: there is none; with the nearest name.
    """
    if name not in models:
        raise JobError(f"there is no model {name!r}{_nearest(name, models)}; `reelyard models list` shows all")
    return models[name]


def _model(path: Path, name: str, table: object) -> Model:
    where = f"{path}: [models.{name}]"
    if not isinstance(table, dict):
        raise JobError(f"{where}: found {table!r}, expected a table")
    for key, value in table.items():
        _check(where, key, value)
    missing = [f.name for f in _FIELDS.values() if f.default is MISSING and f.name not in table]
    if missing:
        raise JobError(f"{where}: {', '.join(missing)} missing; a model needs it")
    given: dict[str, Any] = {key: tuple(value) if key in _LISTS else value for key, value in table.items()}
    given["urls"] = tuple(_beside(path, url) for url in given.get("urls", ()))
    try:
        return Model(name=name, **given)
    except JobError as error:
        raise JobError(f"{path}: {error.message}") from error


def _check(where: str, key: str, value: object) -> None:
    if key not in _FIELDS:
        raise JobError(f"{where}: {key!r} is no field{_nearest(key, _FIELDS)}")
    if key in _LISTS:
        right = isinstance(value, list) and all(isinstance(item, str) for item in cast(list[object], value))
        expected = "a list of texts"
    elif key == "size_bytes":
        right, expected = isinstance(value, int) and not isinstance(value, bool), "a whole number"
    else:
        right, expected = isinstance(value, str), "a text"
    if not right:
        raise JobError(f"{where}: {key} is {value!r}, expected {expected}")


def _beside(path: Path, url: str) -> str:
    relative = scheme_of(url) == "file" and "://" not in url and not Path(url).is_absolute()
    return str(path.parent / url) if relative else url


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), 1)
    return f": did you mean {near[0]!r}?" if near else ""
