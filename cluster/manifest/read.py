"""From a manifest, or a pattern in its place, to checked items: everything wrong is found before anything runs."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import cast

from cluster.job_fields import checked_fields, field_names, job_of_fields
from cluster.manifest.existing import Patterns, missing
from cluster.manifest.expand import Single, expand
from cluster.manifest.formats import ENDINGS, MOST_ITEMS, Parsed, parse_manifest
from cluster.manifest.names import check_template, clashes, output_name
from cluster.manifest.places import ending_of, folder_of, placed
from cluster.manifest.values import Entry, Item, Manifest, ManifestError, Problem, raise_problems
from pipeline import photos, speakers
from pipeline.encoders import ENDINGS as OUTPUTS
from pipeline.inputs import inputs_of
from pipeline.job import RenderJob
from pipeline.prepare import check_request
from pipeline.speakers import Speaker
from pipeline.storage import Storage
from pipeline.weights import absolute
from tasks.errors import JobError, ReelyardError
from tasks.task import TaskSpec

Fields = Mapping[str, object]
#: Fields that name places.
_PLACES = ("source", "audio", "output", "work", "models")


def read_manifest(
    storage: Storage,
    uri: str,
    *,
    prefix: str = "",
    typed: Fields | None = None,
    storage_options: tuple[tuple[str, str], ...] = (),
    existing: bool = True,
) -> Manifest:
    """The items of a manifest (.jsonl, .csv, .tsv, .yaml, .json), a pattern, a folder with its slash, or one source.

    `prefix` is where outputs go that have none of their own; `typed` are fields that override the manifest's.
    Without `existing` nobody is asked whether the sources are there.

    Raises:
        ManifestError: with every problem of every line.
        JobError: there is no manifest to read, or `typed` is wrong.
        StorageError: the manifest cannot be read.
    """
    parsed, folder = _parsed(storage, uri)
    problems = list(parsed.problems)
    _check_prefix(storage, prefix)
    overriding = _placed(checked_fields(typed or {}), "./")
    check_template(str(overriding.get("name", "")))
    defaults = _checked_defaults(parsed.defaults, folder, problems)
    prefix = placed(prefix, "./") if prefix else ""
    patterns = Patterns(storage, prefix)
    singles = _singles(parsed.entries, defaults, overriding, folder, patterns, problems)
    items = _items(storage, singles, prefix, storage_options, problems)
    problems += clashes(items)
    if existing:
        problems += _missing(storage, items, patterns.found)
    if not parsed.entries and not problems:
        problems.append(Problem(0, "holds no job; expected one a line, or items: in YAML"))
    raise_problems(uri, problems)
    return Manifest(uri, tuple(items))


def read_job(storage: Storage, uri: str, typed: Fields, storage_options: tuple[tuple[str, str], ...] = ()) -> RenderJob:
    """The one job of a job file, where `typed` fields override it; its output may be left open.

    Raises:
        ManifestError: with every problem.
        JobError: there is no job file, or it holds several jobs.
        StorageError: it cannot be read.
    """
    if ending_of(uri) not in ENDINGS:
        raise JobError(f"--job {uri}: expected a job written in .yaml or .json")
    overriding = _placed(checked_fields(typed), "./")
    parsed, folder = _parsed(storage, uri)
    problems = list(parsed.problems)
    defaults = _checked_defaults(parsed.defaults, folder, problems)
    singles = _singles(parsed.entries, defaults, overriding, folder, Patterns(storage), problems)
    raise_problems(uri, problems)
    if len(singles) != 1:
        raise JobError(f"--job {uri}: found {len(singles)} jobs, expected one; reelyard batch {uri} renders many")
    return job_of_fields(singles[0].fields, storage_options)


def _check_prefix(storage: Storage, prefix: str) -> None:
    path = storage.local_path(prefix) if prefix else None
    if ending_of(prefix) in OUTPUTS and not (path and path.is_dir()) and not prefix.endswith("/"):
        raise JobError(
            f"-o {prefix}: found the name of a file, expected the folder or prefix of many; "
            "one output is written by reelyard render"
        )
    if prefix.startswith(("http://", "https://")):
        raise JobError(f"-o {prefix}: http is read only; expected a folder or s3://, gs://, az://")


def _parsed(storage: Storage, uri: str) -> tuple[Parsed, str]:
    """What is written, and the folder it is seen from."""
    path = storage.local_path(uri)
    if path is not None and path.is_dir() and not uri.endswith("/"):
        uri = f"{uri}/"
    if ending_of(uri) not in ENDINGS or uri.endswith("/"):
        return Parsed((Entry(0, {"source": uri}),)), "./"
    try:
        text = storage.read(uri).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise JobError(f"manifest {uri}: found bytes that are no UTF-8 text; save it as UTF-8") from error
    except ReelyardError as error:
        raise JobError(f"manifest {error.message}") from error
    return parse_manifest(text, ENDINGS[ending_of(uri)]), folder_of(uri)


def _placed(fields: Fields, folder: str) -> dict[str, object]:
    def here(uri: str) -> str:
        return placed(uri, folder)

    found: dict[str, object] = {name: here(str(fields[name])) for name in _PLACES if name in fields}
    if "task" in fields:
        specs = cast(Iterable[TaskSpec], fields["task"])
        found["task"] = tuple(absolute(photos.placed(spec, here), here) for spec in specs)
    if "speaker" in fields:
        found["speaker"] = speakers.placed(cast(tuple[Speaker, ...], fields["speaker"]), here)
    if "face" in fields:
        found["face"] = photos.with_photo_at(str(fields["face"]), here)
    return {**fields, **found}


def _checked_defaults(written: Fields, folder: str, problems: list[Problem]) -> Fields:
    try:
        return _placed(checked_fields(written), folder)
    except JobError as error:
        problems.append(Problem(0, f"defaults: {error.message}"))
        return {}


def _singles(
    entries: Sequence[Entry],
    defaults: Fields,
    overriding: Fields,
    folder: str,
    patterns: Patterns,
    problems: list[Problem],
) -> list[Single]:
    singles: list[Single] = []
    for entry in entries:
        try:
            fields = {**_with_defaults(entry.fields, defaults, folder), **overriding}
            singles += expand(entry.line, fields, entry.crossed, patterns.match)
        except ReelyardError as error:
            problems.append(Problem(entry.line, error.message))
        if len(singles) > MOST_ITEMS:
            problems.append(Problem(entry.line, f"more than {MOST_ITEMS} items; split the manifest"))
            break
    return singles


def _with_defaults(written: Fields, defaults: Fields, folder: str) -> Fields:
    """The fields of one entry; an empty text takes a default away."""
    names = field_names(written)
    cleared = {names[key] for key, value in written.items() if value == ""}
    own = checked_fields({key: value for key, value in written.items() if value != ""})
    kept = {name: value for name, value in defaults.items() if name not in cleared}
    return {**kept, **_placed(own, folder)}


def _items(
    storage: Storage,
    singles: Sequence[Single],
    prefix: str,
    storage_options: tuple[tuple[str, str], ...],
    problems: list[Problem],
) -> list[Item]:
    items: list[Item] = []
    for index, single in enumerate(singles, 1):
        try:
            items.append(_item(storage, single, index, prefix, storage_options))
        except ManifestError as error:
            problems += error.problems
        except ReelyardError as error:
            problems.append(Problem(single.line, error.message))
    return items


def _item(
    storage: Storage, single: Single, index: int, prefix: str, storage_options: tuple[tuple[str, str], ...]
) -> Item:
    fields = dict(single.fields)
    below = f"{prefix.rstrip('/')}/" if prefix else ""
    if "output" not in fields:
        if not prefix:
            fault = "found no place for the outputs; give -o PREFIX/, or an output on each line"
            raise ManifestError("", (Problem(0, fault),))
        fields["output"] = f"{below}{output_name(single, index)}"
    name = str(fields["output"]).removeprefix(below)
    job = job_of_fields(fields, storage_options)
    check_request(storage, job)
    run = {key: fields[key] for key in ("priority", "group", "weight") if key in fields}
    return Item(name, single.line, job, **run)  # type: ignore[arg-type]


def _missing(storage: Storage, items: Sequence[Item], seen: Set[str]) -> list[Problem]:
    """Sources and voices that are not there, on each line that names them; those in `seen` are."""
    named = [(item, uri, what) for item in items for uri, what in _read_by(item) if uri not in seen]
    faults = missing(storage, (uri for _, uri, _ in named))
    return [Problem(item.line, f"{what} {faults[uri]}") for item, uri, what in named if uri in faults]


def _read_by(item: Item) -> list[tuple[str, str]]:
    return [(uri, what.removeprefix("--")) for what, uri in inputs_of(item.job)]
