"""What stands in a manifest, in four formats; where it is wrong, the line and the remedy."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.manifest.formats import parse_manifest
from cluster.manifest.values import Entry, ManifestError, Problem, raise_problems
from cluster.manifest.yaml_text import load_yaml

_JOBS: list[dict[str, object]] = [
    {"source": "a.mp4", "audio": "v.wav", "task": "lip-sync:face=left", "crf": "20"},
    {"source": "b.mp4", "label": "Grüße, \"Welt\""},
]  # fmt: skip


def fields_of(text: str, format: str) -> list[Mapping[str, object]]:
    parsed = parse_manifest(text, format)
    assert parsed.problems == ()
    return [entry.fields for entry in parsed.entries]


def test_the_same_jobs_in_every_format() -> None:
    lines = "\n".join(json.dumps(job) for job in _JOBS)
    rows = 'source,audio,task,crf,label\na.mp4,v.wav,lip-sync:face=left,20,\nb.mp4,,,,"Grüße, ""Welt"""\n'
    yaml = (
        "- {source: a.mp4, audio: v.wav, task: 'lip-sync:face=left', crf: '20'}\n"
        "- source: b.mp4\n  label: 'Grüße, \"Welt\"'\n"
    )
    assert fields_of(lines, "jsonl") == _JOBS
    assert fields_of(json.dumps(_JOBS), "json") == _JOBS
    assert fields_of(json.dumps({"items": _JOBS}, indent="\t"), "json") == _JOBS
    assert fields_of(yaml, "yaml") == _JOBS
    assert fields_of(rows, "csv") == [{**_JOBS[0], "task": ["lip-sync:face=left"]}, _JOBS[1]]
    assert fields_of(rows.replace(",", "\t", 4 * 3), "tsv")[0]["crf"] == "20"


def test_every_entry_knows_its_line() -> None:
    jsonl = parse_manifest('\ufeff{"source": "a"}\n\n"b"\n', "jsonl")
    csv = parse_manifest('source,label\r\na,"two\r\nlines"\r\n\r\nb,\r\n', "csv")
    yaml = parse_manifest("defaults:\n  crf: 20\nitems:\n- a\n\n- source: b\n  crf: 2\n", "yaml")
    text = '{\n"items": [\n"a",\n{"source":\n"b"}]}'
    assert [entry.line for entry in jsonl.entries] == [1, 3]
    assert [entry.line for entry in csv.entries] == [2, 5]
    assert [entry.line for entry in yaml.entries] == [4, 6]
    assert [entry.line for entry in parse_manifest(text, "json").entries] == [3, 4]
    assert yaml.defaults == {"crf": 20}


def test_a_bare_text_is_a_source() -> None:
    assert fields_of('"s3://in/a.mp4"', "jsonl") == [{"source": "s3://in/a.mp4"}]
    assert fields_of("videos: in/*.mp4", "yaml") == [{"source": "in/*.mp4"}]


def test_videos_are_crossed_with_audios_whose_fields_override() -> None:
    text = "videos: [a.mp4, {source: b.mp4, crf: 18, priority: 1}]\naudios:\n- v.wav\n- {audio: w.wav, crf: 30}\n"
    parsed = parse_manifest(text, "yaml")
    assert all(entry.crossed for entry in parsed.entries)
    assert [dict(entry.fields) for entry in parsed.entries] == [
        {"source": "a.mp4", "audio": "v.wav"},
        {"source": "a.mp4", "audio": "w.wav", "crf": 30},
        {"source": "b.mp4", "audio": "v.wav", "crf": 18, "priority": 1},
        {"source": "b.mp4", "audio": "w.wav", "crf": 30, "priority": 1},
    ]


def test_yaml_keeps_times_rates_and_words_as_they_are_written() -> None:
    found, _ = load_yaml("trim: 1:30\nframe_rate: 29.97\nday: 2026-01-02\nno: off\nport: 0o17\nbig: 1_000\ntrue: yes")
    assert found == {
        "trim": "1:30", "frame_rate": 29.97, "day": "2026-01-02", "no": "off", "port": "0o17", "big": "1_000",
        "true": "yes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("format", "text", "line", "words"),
    [
        ("jsonl", '"a"\n{"source": "b"', 2, "not JSON: .* at column 15; expected an object"),
        ("jsonl", '"a"\n{"defaults": {}}', 2, "expected them on the first line"),
        ("jsonl", '{"defaults": {}, "source": "a"}', 1, "nothing else on this line"),
        ("jsonl", '"a"\n{"source": "b", "source": "c"}', 2, "found 'source' twice; give it once"),
        ("jsonl", "[1, 2]", 1, r"found \[1, 2\], expected an object of fields, or a source"),
        ("jsonl", "[" * 100_000, 1, "nested too deeply|not JSON"),
        ("csv", "a.mp4,v.wav\nb.mp4,w.wav\n", 1, "expected the names of fields there, as source,audio,task"),
        ("csv", "source,crf\na,20\nb,20,hello\n", 3, r"found 3 cells, expected 2 \(source, crf\)"),
        ("csv", "source,crf,crf\na,1,2\n", 1, "found a field twice in the first row"),
        ("csv", 'source,label\na,"open\n', 2, "not CSV"),
        ("yaml", "items:\n- a\n  b: [\n", 3, "not YAML"),
        ("yaml", "source: a\nsource: b\n", 2, "found 'source' twice"),
        ("yaml", "source: a\nface: #2\n", 2, "quote it where it begins with #: '#2'"),
        ("yaml", "source: !!python/object/apply:os.system [ls]\n", 1, "found the tag .*os.system"),
        ("yaml", "source: !path a\n", 1, "found the tag !path, expected a plain value"),
        ("yaml", "a: 1\n---\nb: 2\n", 2, "not YAML"),
        ("yaml", "items: 7\n", 1, "items: found 7, expected a list"),
        ("yaml", "items: [a]\ncrf: 20\n", 1, "fields for all go into defaults"),
        ("yaml", "defaults: [a]\nitems: [a]\n", 1, "expected fields and values"),
        ("yaml", "audios: [a]\n", 1, "a list of sources is called videos"),
        ("yaml", "videos: [a]\naudios:\n- {source: b}\n", 3, "expected a voice"),
        ("yaml", "items:\n- a\n- 7\n", 3, "found 7, expected an object of fields, or a source"),
        ("yaml", "7", 1, "found 7, expected jobs"),
        ("yaml", "&a [*a]", 0, "nested too deeply, or an alias holds itself|not YAML"),
        ("json", '{"source": "a"}\n{"source": "b"}\n', 2, "a file with an object on each line is called .jsonl"),
        ("json", '{"items": ["a"', 1, "not JSON"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(format: str, text: str, line: int, words: str) -> None:
    problems = parse_manifest(text, format).problems
    assert len(problems) == 1, problems
    assert problems[0].line == line
    with pytest.raises(ManifestError, match=words):
        raise_problems("m", list(problems))


def test_an_alias_that_unfolds_without_end_is_refused() -> None:
    text = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
    )
    assert "aliases unfold" in parse_manifest(text, "yaml").problems[0].text


def test_one_bad_line_does_not_hide_another() -> None:
    parsed = parse_manifest('{"source": "a"}\n{\n"b"\n[]\n', "jsonl")
    assert [problem.line for problem in parsed.problems] == [2, 4]
    assert [entry.line for entry in parsed.entries] == [1, 3]


@given(st.text(max_size=200), st.sampled_from(["jsonl", "csv", "tsv", "yaml", "json"]))
def test_no_text_makes_the_parser_fall_over(text: str, format: str) -> None:
    parsed = parse_manifest(text, format)
    assert all(isinstance(entry, Entry) for entry in parsed.entries)
    assert all(problem.text for problem in parsed.problems)


_names = st.text("abcdefgh ,;\"'{}#:-üß\u2028", min_size=1, max_size=12).filter(str.strip)


@given(st.lists(st.dictionaries(st.sampled_from(["source", "label", "audio"]), _names, min_size=1), max_size=6))
def test_json_lines_and_yaml_give_back_what_was_written(jobs: list[dict[str, str]]) -> None:
    import yaml

    assert fields_of("\n".join(json.dumps(job, ensure_ascii=False) for job in jobs), "jsonl") == jobs
    assert fields_of(json.dumps(jobs), "json") == jobs
    assert fields_of(yaml.safe_dump(jobs, allow_unicode=True), "yaml") == jobs


def test_many_problems_are_counted_and_one_stands_alone() -> None:
    import pickle

    with pytest.raises(ManifestError) as found:
        raise_problems("m.jsonl", [Problem(n, "wrong") for n in (*range(1, 61), 7)])
    lines = found.value.message.splitlines()
    assert lines[0] == "m.jsonl: 60 problems; nothing was started"
    assert lines[1] == "  line 1: wrong"
    assert lines[-1] == "  and 10 more"
    again = pickle.loads(pickle.dumps(found.value))
    assert (str(again), again.problems) == (str(found.value), found.value.problems)
    with pytest.raises(ManifestError, match="^m: line 3: wrong$"):
        raise_problems("m", [Problem(3, "wrong")])
