"""The text of a manifest as entries: JSON lines, CSV, YAML and JSON; pure.

JSON lines   an object a line, or a string that is its source; a first line {"defaults": {...}} holds for all
CSV, TSV     a row a job, fields named by the first row; an empty cell is a field left out
YAML, JSON   one job ({source: …}), a list of jobs, or a mapping of
             defaults:  fields that hold where a job does not say them itself
             items:     jobs, or sources
             videos:    jobs or sources, each with each of
             audios:    voices, or {audio: …} with fields that override the video's
"""

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from cluster.manifest.values import Entry, Problem
from cluster.manifest.yaml_text import YamlFault, load_yaml
from tasks.errors import JobError

#: By the ending of a manifest's name.
ENDINGS: Mapping[str, str] = {
    "jsonl": "jsonl", "ndjson": "jsonl", "csv": "csv", "tsv": "tsv", "yaml": "yaml", "yml": "yaml", "json": "json",
}  # fmt: skip
#: More is no manifest but a mistake in one: thousands of videos with thousands of voices.
MOST_ITEMS = 200_000
_SECTIONS = ("defaults", "items", "videos", "audios")


@dataclass(frozen=True)
class Parsed:
    """What stands in a manifest, and what is wrong with how it is written."""

    entries: tuple[Entry, ...] = ()
    defaults: Mapping[str, object] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def parse_manifest(text: str, format: str) -> Parsed:
    """The entries of a text in `format`, one of the values of ENDINGS."""
    return _PARSERS[format](text.removeprefix("\ufeff"))


def _json_lines(text: str) -> Parsed:
    entries: list[Entry] = []
    problems: list[Problem] = []
    defaults: Mapping[str, object] = {}
    # Only line feeds end a line: a text in JSON may hold other separators of lines as they are.
    written = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    for n, line in written:
        try:
            found = _json_value(line)
            if isinstance(found, dict) and "defaults" in found:
                defaults = _defaults(found, first=n == written[0][0])
            else:
                entries.append(Entry(n, _as_job(found)))
        except JobError as error:
            problems.append(Problem(n, error.message))
    return Parsed(tuple(entries), defaults, tuple(problems))


def _defaults(found: Mapping[str, object], *, first: bool) -> Mapping[str, object]:
    if not first:
        raise JobError("'defaults' hold for the lines below them: found them here, expected them on the first line")
    if len(found) > 1 or not isinstance(found["defaults"], dict):
        raise JobError('expected {"defaults": {field: value, …}} and nothing else on this line')
    return found["defaults"]


def _json_value(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as error:
        raise JobError(f"not JSON: {error.msg} at column {error.colno}; expected an object, one on a line") from error
    except RecursionError as error:
        raise JobError("not JSON that can be read: nested too deeply") from error


def _without_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
    if twice is not None:
        raise JobError(f"found {twice!r} twice; give it once")
    return dict(pairs)


def _as_job(found: object) -> Mapping[str, object]:
    """An object as it is, a text as the source it names."""
    if isinstance(found, str):
        return {"source": found}
    if isinstance(found, dict):
        return found
    raise JobError(f"found {_short(found)}, expected an object of fields, or a source")


def _short(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _rows(text: str, delimiter: str) -> Parsed:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    entries: list[Entry] = []
    problems: list[Problem] = []
    names: list[str] = []
    line = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                if not names:
                    names = [cell.strip() for cell in row]
                    _check_header(names, delimiter)
                elif any(cell.strip() for cell in row[len(names) :]):
                    fault = (
                        f"found {len(row)} cells, expected {len(names)} ({', '.join(names)}); quote a cell with commas"
                    )
                    problems.append(Problem(line, fault))
                else:
                    cells = zip(names, row, strict=False)
                    entries.append(Entry(line, {name: _cell(name, cell) for name, cell in cells if cell.strip()}))
            line = reader.line_num + 1
    except (csv.Error, JobError) as error:
        problems.append(Problem(line, f"not CSV: {error}" if isinstance(error, csv.Error) else error.message))
    return Parsed(tuple(entries), {}, tuple(problems))


def _check_header(names: list[str], delimiter: str) -> None:
    if not {"source", "video"} & {name.lower() for name in names}:
        raise JobError(
            f"found the first row {delimiter.join(names)!r}, expected the names of fields there, as source,audio,task"
        )
    if len(set(names)) < len(names):
        raise JobError(f"found a field twice in the first row ({', '.join(names)}); give each once")


def _cell(name: str, cell: str) -> object:
    """Several tasks stand in one cell, apart by semicolons."""
    return [task.strip() for task in cell.split(";")] if name.lower() in ("task", "tasks") else cell


def _yaml(text: str) -> Parsed:
    try:
        found, line_of = load_yaml(text)
    except YamlFault as fault:
        return Parsed(problems=(Problem(fault.line, fault.message),))
    return _document(found, line_of)


def _json(text: str) -> Parsed:
    try:
        found = json.loads(text, object_pairs_hook=_without_twins)
    except json.JSONDecodeError as error:
        remedy = "; a file with an object on each line is called .jsonl" if error.msg == "Extra data" else ""
        return Parsed(problems=(Problem(error.lineno, f"not JSON: {error.msg} at column {error.colno}{remedy}"),))
    except (JobError, RecursionError) as error:
        return Parsed(problems=(Problem(0, str(error)),))
    try:
        # Nearly all JSON is YAML, which knows its lines; without them everything is on line 0.
        line_of = load_yaml(text.replace("\t", " "))[1]
    except YamlFault:
        return _document(found, lambda *path: 0)
    return _document(found, line_of)


def _document(found: object, line_of: Callable[..., int]) -> Parsed:
    """A job, a list of jobs, or sections."""
    if isinstance(found, list):
        found = {"items": found}
        items_at: tuple[str, ...] = ()
    else:
        items_at = ("items",)
    if not isinstance(found, dict):
        return Parsed(problems=(Problem(1, f"found {_short(found)}, expected jobs: see reelyard batch --help"),))
    if not set(found) & set(_SECTIONS):
        return Parsed((Entry(line_of(), found),))
    try:
        sections = {name: _section(found, name) for name in ("items", "videos", "audios")}
        defaults = _check_sections(found, sections)
    except JobError as error:
        return Parsed(problems=(Problem(line_of(), error.message),))
    problems: list[Problem] = []
    items = _listed(sections["items"], _as_job, lambda n: line_of(*items_at, n), problems)
    videos = _listed(sections["videos"], _as_job, lambda n: line_of("videos", n), problems)
    voices = _listed(sections["audios"], _as_voice, lambda n: line_of("audios", n), problems)
    crossed = (Entry(v.line, {**v.fields, **a.fields}, True) for v, a in itertools.product(videos, voices))
    alone = [*items, *([] if voices else videos)]
    return Parsed((*alone, *crossed), defaults, tuple(problems))


def _section(found: Mapping[str, object], name: str) -> list[object]:
    section = found.get(name)
    section = [section] if isinstance(section, str) else section
    if section is not None and not isinstance(section, list):
        raise JobError(f"{name}: found {_short(section)}, expected a list")
    return section or []


def _check_sections(found: Mapping[str, object], sections: Mapping[str, list[object]]) -> Mapping[str, object]:
    """The defaults."""
    if other := [key for key in found if key not in _SECTIONS]:
        raise JobError(
            f"{str(other[0])!r}: beside {', '.join(_SECTIONS)} there is nothing else; fields for all go into defaults"
        )
    defaults = found.get("defaults") or {}
    if not isinstance(defaults, dict):
        raise JobError(f"defaults: found {_short(defaults)}, expected fields and values")
    if sections["audios"] and not sections["videos"]:
        raise JobError("audios: found no videos for them; a list of sources is called videos")
    if len(sections["videos"]) * len(sections["audios"]) > MOST_ITEMS:
        counts = f"{len(sections['videos'])} videos with {len(sections['audios'])} audios"
        raise JobError(f"{counts}: more than {MOST_ITEMS} items; split the manifest")
    return defaults


def _listed(
    section: Iterable[object],
    read: Callable[[object], Mapping[str, object]],
    line_of: Callable[[int], int],
    problems: list[Problem],
) -> list[Entry]:
    entries = []
    for number, found in enumerate(section):
        try:
            entries.append(Entry(line_of(number), read(found)))
        except JobError as error:
            problems.append(Problem(line_of(number), error.message))
    return entries


def _as_voice(found: object) -> Mapping[str, object]:
    voice = {"audio": found} if isinstance(found, str) else _as_job(found)
    if not {"audio", "voice"} & voice.keys() or {"source", "video"} & voice.keys():
        raise JobError(f"audios: found {_short(found)}, expected a voice, or {{audio: …}} with other fields but source")
    return voice


_PARSERS: Mapping[str, Callable[[str], Parsed]] = {
    "jsonl": _json_lines,
    "csv": lambda text: _rows(text, ","),
    "tsv": lambda text: _rows(text, "\t"),
    "yaml": _yaml,
    "json": _json,
}
