"""From a manifest to items: patterns, names, defaults, and everything wrong found at once, before anything runs."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.manifest.expand import Single
from cluster.manifest.names import output_name
from cluster.manifest.places import fitting, folder_of, is_pattern, parent_of, placed, stem_of
from cluster.manifest.read import read_manifest
from cluster.manifest.values import Item, ManifestError
from pipeline.storage import Storage
from tasks.errors import JobError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Clips and voices; nothing here is opened as media."""
    for name in ("clips/a.mp4", "clips/b.mov", "clips/deep/c.mp4", "clips/notes.txt", "clips/.d.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    for name in ("voices/a.wav", "voices/b.wav", "voices/c.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def items_of(folder: Path, text: str, *, name: str = "m.yaml", prefix: str = "out", **options: Any) -> tuple[Item, ...]:
    (folder / name).write_text(text)
    prefix = str(folder / prefix) if prefix and "://" not in prefix else prefix
    return read_manifest(Storage(), str(folder / name), prefix=prefix, **options).items


def pairs(folder: Path, items: tuple[Item, ...]) -> list[tuple[str, str, str]]:
    def short(uri: str | None) -> str:
        return (uri or "").removeprefix(f"{folder}/")

    return [(short(item.job.source), short(item.job.audio), short(item.job.output)) for item in items]


def test_a_pattern_stands_for_its_files_in_order(folder: Path) -> None:
    assert pairs(folder, items_of(folder, "items: ['clips/*.m*', 'clips/**/c.mp4']")) == [
        ("clips/a.mp4", "", "out/a.mp4"),
        ("clips/b.mov", "", "out/b.mov"),
        ("clips/deep/c.mp4", "", "out/c.mp4"),
    ]


def test_a_folder_with_its_slash_stands_for_the_media_below_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = pairs(folder, read_manifest(Storage(), "clips/", prefix="out").items)
    assert [source for source, _, _ in found] == ["clips/a.mp4", "clips/b.mov", "clips/deep/c.mp4"]
    assert (
        read_manifest(Storage(), "clips", prefix="out").items == read_manifest(Storage(), "clips/", prefix="out").items
    )
    assert [i.job.source for i in read_manifest(Storage(), "clips/?.mp4", prefix="out").items] == [
        str(folder / "clips/a.mp4")
    ]


def test_outputs_below_the_sources_are_no_sources_of_the_next_run(folder: Path) -> None:
    (folder / "clips" / "out").mkdir()
    (folder / "clips" / "out" / "a.mp4").write_bytes(b"x")
    for pattern in ("clips/", "clips/**/*.mp4", "**/a.mp4"):
        items = items_of(folder, f"items: ['{pattern}']", prefix="clips/out/")
        assert not [item for item in items if "/out/" in item.job.source]
    assert len(items_of(folder, "items: ['clips/*.mov']", prefix="clips", typed={"name": "{stem}.mkv"})) == 1
    assert len(items_of(folder, "items: ['clips/out/*.mp4']", prefix="clips/out", typed={"name": "{stem}.mkv"})) == 1


def test_a_file_whose_name_is_a_pattern_stands_for_itself(folder: Path) -> None:
    (folder / "clips" / "take [1].mp4").write_bytes(b"x")
    assert [i.name for i in items_of(folder, "items: ['clips/take [1].mp4']")] == ["take [1].mp4"]


def test_videos_crossed_with_audios_carry_both_names(folder: Path) -> None:
    text = "videos: ['clips/*.mp4', clips/b.mov]\naudios: [voices/a.wav, {audio: voices/b.wav, crf: 30}]\n"
    items = items_of(folder, text)
    assert [item.name for item in items] == ["a_a.mp4", "a_b.mp4", "b_a.mov", "b_b.mov"]
    assert [item.job.encode.crf for item in items] == [None, 30, None, 30]


def test_one_voice_for_many_many_voices_for_one_and_the_voice_of_the_same_name(folder: Path) -> None:
    line = '{"source": "clips/*.m*", "audio": "voices/a.wav"}\n{"source": "clips/a.mp4", "audio": "voices/*.wav"}\n'
    named = '{"source": "clips/*.m*", "audio": "voices/{stem}.wav", "name": "paired/{stem}.{ext}"}\n'
    found = pairs(folder, items_of(folder, line + named, name="m.jsonl"))
    assert [(source[6:], audio[7:], output[4:]) for source, audio, output in found] == [
        ("a.mp4", "a.wav", "a.mp4"), ("b.mov", "a.wav", "b.mov"),
        ("a.mp4", "a.wav", "a_a.mp4"), ("a.mp4", "b.wav", "a_b.mp4"), ("a.mp4", "c.wav", "a_c.mp4"),
        ("a.mp4", "a.wav", "paired/a.mp4"), ("b.mov", "b.wav", "paired/b.mov"),
    ]  # fmt: skip


def test_many_with_many_is_crossed_only_where_that_was_said(folder: Path) -> None:
    line = {"source": "clips/*.m*", "audio": "voices/*.wav"}
    with pytest.raises(ManifestError, match=r"2 sources and 3 voices: write product: true .*voices/{stem}.wav"):
        items_of(folder, json.dumps(line), name="m.jsonl")
    assert len(items_of(folder, json.dumps({**line, "product": True}), name="m.jsonl")) == 6


def test_options_override_lines_and_lines_override_defaults(folder: Path) -> None:
    text = (
        '{"defaults": {"crf": 20, "label": "made", "preset": "fast", "priority": 2, "group": "ads", "weight": 0.5}}\n'
        '{"source": "clips/a.mp4", "crf": 30, "label": ""}\n{"source": "clips/b.mov", "priority": "5"}\n'
    )
    a, b = items_of(folder, text, name="m.jsonl", typed={"preset": "slow", "task": ["identity"]})
    assert (a.job.encode.crf, a.job.label, a.job.encode.preset, a.priority) == (30, None, "slow", 2)
    assert (b.job.encode.crf, b.job.label, b.job.encode.preset, b.priority) == (20, "made", "slow", 5)
    assert (a.group, a.weight, [spec.name for spec in b.job.tasks]) == ("ads", 0.5, ["identity"])


def test_tasks_are_written_as_text_as_a_list_or_as_a_mapping(folder: Path) -> None:
    text = (
        "defaults: {audio: voices/a.wav, name: '{line}.mp4'}\nitems:\n"
        "- {source: clips/a.mp4, task: 'lip-sync:face=left,sync_offset=40'}\n"
        "- {source: clips/a.mp4, tasks: [{lip-sync: {face: left, sync_offset: 40}}]}\n"
        "- {source: clips/a.mp4, Task: {name: lip-sync, face: left, sync_offset: 40}}\n"
        "- {source: clips/a.mp4, task: {lip-sync: {sync_offset: 40}}, face: left}\n"
    )
    tasks = {item.job.tasks for item in items_of(folder, text)}
    assert len(tasks) == 1
    csv = "source,task,no-face\nclips/a.mp4,identity; lip-sync:face=left,fail\n"
    assert [
        spec.name
        for item in items_of(folder, csv, name="m.csv", typed={"audio": str(folder / "voices/a.wav")})
        for spec in item.job.tasks
    ] == ["identity", "lip-sync"]


def test_an_output_of_its_own_needs_no_prefix_and_is_seen_from_the_manifest(folder: Path) -> None:
    text = "items: [{source: clips/a.mp4, output: done/x.mkv}, {source: clips/b.mov, output: 's3://out/y.mp4'}]"
    items = items_of(folder, text, prefix="")
    assert [item.job.output for item in items] == [str(folder / "done/x.mkv"), "s3://out/y.mp4"]
    assert [item.name for item in items] == [item.job.output for item in items]


@pytest.mark.parametrize(
    ("codec", "source", "name"),
    [
        ("auto", "a.mp4", "a.mp4"), ("auto", "a.M4V", "a.m4v"), ("auto", "a.jpg", "a.mp4"), ("auto", "a", "a.mp4"),
        ("prores", "a.mp4", "a.mov"), ("h264", "a.webm", "a.mp4"), ("libx264", "a.mkv", "a.mkv"),
        ("vp9", "a.mov", "a.mp4"),
    ],
)  # fmt: skip
def test_the_ending_is_the_source_s_where_its_container_holds_the_codec(codec: str, source: str, name: str) -> None:
    assert output_name(Single(1, {"source": source, "codec": codec}), 1) == name


def test_a_name_is_made_of_its_fields() -> None:
    fields = {
        "source": "s3://in/day/talk.one.mov",
        "audio": "v/eva.wav",
        "name": "{parent}/{stem}-{audio}-{line}-{index:03d}.{ext}",
    }
    assert output_name(Single(7, fields), 4) == "day/talk.one-eva-7-004.mov"
    assert output_name(Single(7, {**fields, "name": "plain"}), 4) == "plain.mov"


_BAD = [
    ({"sourse": "clips/a.mp4"}, "'sourse' is no field: did you mean 'source'"),
    ({"source": "clips/a.mp4", "codex": "h264"}, "'codex' is no field: did you mean 'codec'"),
    ({"source": "clips/a.mp4", "endpoint_url": "http://x"}, "'endpoint_url': a manifest is copied.*--storage-option"),
    ({"source": "clips/a.mp4", "aws_secret_access_key": "x"}, "holds no endpoint and no secret"),
    ({"source": "clips/a.mp4", "video": "clips/b.mov"}, "'video': found 'source' twice"),
    ({"source": "s3://me:hush@in/a.mp4"}, r"s3://…@in/a.mp4: found a user or password"),
    ({"audio": "voices/a.wav"}, "source: found none"),
    ({"source": "clips/x.mp4"}, "clips/x.mp4: no such file; check the spelling"),
    ({"source": "clips/*.avi"}, "no file fits this pattern"),
    ({"source": "voices/"}, "found no media below it"),
    ({"source": "clips"}, "found a folder, expected a file; write .*clips/ for all"),
    ({"source": "http://host/*/"}, "a web server cannot be listed"),
    ({"source": "s3://*/a.mp4"}, "found a pattern as the bucket"),
    ({"source": "clips/a.mp4", "audio": "voices/x.wav"}, "voices/x.wav: no such file"),
    ({"source": "clips/a.mp4", "crf": "high"}, "--crf: found 'high', expected a number"),
    ({"source": "clips/a.mp4", "crf": 1, "qp": 2}, "give one of them"),
    ({"source": "clips/a.mp4", "deinterlace": "maybe"}, "--deinterlace: found 'maybe', expected true or false"),
    ({"source": "clips/a.mp4", "priority": 1.5}, "--priority: found 1.5, expected a whole number"),
    ({"source": "clips/a.mp4", "weight": 0}, "--weight: found 0, expected a number above 0"),
    ({"source": ["clips/a.mp4"]}, r"--source: found \['clips/a.mp4'\], expected text"),
    ({"source": "clips/a.mp4", "trim": [5, 2]}, "the end is not after the start"),
    ({"source": "clips/a.mp4", "task": "lip-sink"}, "did you mean 'lip-sync'"),
    ({"source": "clips/a.mp4", "task": {"lip-sync": {"fase": "left"}}}, "did you mean 'face'"),
    ({"source": "clips/a.mp4", "task": 7}, "--task: found 7, expected NAME"),
    ({"source": "clips/a.mp4", "task": "lip-sync"}, "--audio FILE"),
    ({"source": "clips/a.mp4", "fit": "video"}, "--audio FILE"),
    ({"source": "clips/a.mp4", "name": "x.avi"}, "found ending 'avi'"),
    ({"source": "clips/a.mp4", "name": "{stem"}, "a brace itself is written"),
    ({"source": "clips/a.mp4", "name": "{stem.real}.mp4"}, r"found {stem.real}, expected one of {stem}, {audio}"),
    ({"source": "clips/a.mp4", "name": "{audio}.mp4"}, "asks for {audio}, but the job has no voice"),
    ({"source": "clips/a.mp4", "name": "../{stem}.mp4"}, "expected a name below the output prefix"),
    ({"source": "clips/a.mp4", "name": "{stem:d}.mp4"}, "--name {stem:d}.mp4: "),
    ({"source": "clips/a.mp4", "output": "clips/a.mp4"}, "is the source itself"),
    ({"source": "clips/a.mp4", "output": "https://host/a.mp4"}, "http is read only"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "words"), _BAD)
def test_a_bad_line_is_refused_in_words_that_help(folder: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ManifestError, match=f"m.jsonl: line 1: .*{words}"):
        items_of(folder, json.dumps(fields), name="m.jsonl")


def test_every_bad_line_is_told_at_once_and_nothing_is_written(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    text = "\n".join([*(json.dumps(fields) for fields, _ in _BAD), "{", '"clips/a.mp4"'])
    with pytest.raises(ManifestError) as found:
        items_of(folder, text, name="m.jsonl")
    assert {problem.line for problem in found.value.problems} == set(range(1, len(_BAD) + 2))
    assert "hush" not in found.value.message
    assert sorted(folder.rglob("*")) == sorted([*before, folder / "m.jsonl"])


def test_outputs_that_meet_are_refused_with_both_lines(folder: Path) -> None:
    (folder / "clips" / "deep" / "a.mp4").write_bytes(b"x")
    text = "source,output\nclips/a.mp4,\nclips/b.mov,\nclips/deep/a.mp4,\n,\n"
    text += "clips/b.mov,clips/deep/c.mp4\nclips/deep/c.mp4,x.mp4\n"
    with pytest.raises(ManifestError) as found:
        items_of(folder, text, name="m.csv")
    assert [problem.line for problem in found.value.problems] == [4, 6]
    assert f"output {folder}/out/a.mp4: also that of line 2; tell them apart with --name" in found.value.message
    assert f"output {folder}/clips/deep/c.mp4: is read by line 7; a source is never overwritten" in found.value.message
    assert len(items_of(folder, "items: ['clips/**/a.mp4']", typed={"name": "{parent}/{stem}.{ext}"})) == 2
    with pytest.raises(ManifestError, match="also that of .*clips/a.mp4; tell them apart"):
        items_of(folder, "items: ['clips/**/a.mp4']")


def test_what_is_wrong_with_the_whole_is_told_once(folder: Path) -> None:
    with pytest.raises(ManifestError, match=r"^\S*m.jsonl: found no place for the outputs; give -o PREFIX/[^\n]*$"):
        items_of(folder, '"clips/a.mp4"\n"clips/b.mov"\n', name="m.jsonl", prefix="")
    with pytest.raises(ManifestError, match="holds no job"):
        items_of(folder, "\n", name="m.jsonl")
    with pytest.raises(ManifestError, match="defaults: 'crff' is no field"):
        items_of(folder, "defaults: {crff: 1}\nitems: [clips/a.mp4]")
    with pytest.raises(JobError, match="expected the folder or prefix of many"):
        items_of(folder, '"clips/a.mp4"', name="m.jsonl", prefix="out.mp4")
    with pytest.raises(JobError, match="m.txt.yaml: no such file"):
        read_manifest(Storage(), str(folder / "m.txt.yaml"), prefix="out")
    (folder / "m.csv").write_bytes("source\nü.mp4".encode("utf-16"))
    with pytest.raises(JobError, match="no UTF-8 text"):
        read_manifest(Storage(), str(folder / "m.csv"), prefix="out")


def test_what_was_typed_is_refused_before_any_line(folder: Path) -> None:
    with pytest.raises(JobError, match="--damaged skip: expected one of fail, repeat"):
        items_of(folder, "items: [nowhere.mp4]", typed={"damaged": "skip"})
    with pytest.raises(JobError, match="--name"):
        items_of(folder, "items: [clips/a.mp4]", typed={"name": "{stam}.mp4"})


@pytest.mark.parametrize(
    ("uri", "folder", "found"),
    [
        ("a.mp4", "/in/", "/in/a.mp4"),
        ("../a.mp4", "/in/deep/", "/in/a.mp4"),
        ("/x/a.mp4", "s3://in/", "/x/a.mp4"),
        ("clips/", "s3://in/day/", "s3://in/day/clips/"),
        ("../*.mp4", "s3://in/day/", "s3://in/*.mp4"),
        ("s3://b/a.mp4", "/in/", "s3://b/a.mp4"),
    ],
)
def test_relative_paths_are_seen_from_the_manifest(uri: str, folder: str, found: str) -> None:
    assert placed(uri, folder) == found


def test_places_have_stems_parents_and_folders() -> None:
    assert folder_of("s3://in/day/m.csv") == "s3://in/day/"
    assert folder_of("/x/m.csv") == "/x/"
    assert (stem_of("https://h/p/a.b.mp4?sig=x/y.z"), parent_of("s3://in/a.mp4"), parent_of("s3://in/d/a.mp4")) == (
        "a.b", "", "d",
    )  # fmt: skip
    assert [is_pattern(uri) for uri in ("a*.mp4", "d/", "a.mp4", "https://h/a?b=[1]")] == [True, True, False, False]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("s3://b/*.mp4", ["a.mp4", "x1.mp4"]),
        ("s3://b/**/*.mp4", ["a.mp4", "d/a.mp4", "d/e/a.mp4", "x1.mp4"]),
        ("s3://b/d/**", ["d/a.mp4", "d/e/a.mp4", "d/n.txt"]),
        ("s3://b/[!a]?.mp4", ["x1.mp4"]),
        ("s3://b/[w-y]1.mp4", ["x1.mp4"]),
        ("s3://b/*/*.mp4", ["d/a.mp4"]),
        ("s3://b/", ["a.mp4", "d/a.mp4", "d/e/a.mp4", "x1.mp4"]),
        ("s3://b/.h*", [".h.mp4"]),
    ],
)
def test_patterns_fit_within_and_across_folders(pattern: str, names: list[str]) -> None:
    there = [".h.mp4", "a.mp4", "a.mp4.work/parts/0.mp4", "d/a.mp4", "d/e/a.mp4", "d/n.txt", "x1.mp4"]
    found = fitting(pattern, [f"s3://b/{name}" for name in there], frozenset({"mp4"}))
    assert [uri.removeprefix("s3://b/") for uri in found] == names


@given(st.text("ab*?[]!-^\\{}.+/", min_size=1, max_size=8))
def test_no_pattern_makes_the_matching_fall_over(pattern: str) -> None:
    if is_pattern(pattern):
        try:
            fitting(f"s3://b/{pattern}", ["s3://b/a", "s3://b/a/b"], frozenset())
        except JobError:
            pass


def test_sources_in_a_store_are_listed_and_asked_for_before_anything_runs(
    s3_options: dict[str, str], tmp_path: Path
) -> None:
    storage = Storage(s3_options)
    for name in ("in/a.mp4", "in/b.mp4", "in/deep/c.mp4", "in/notes.txt"):
        storage.put_bytes(b"x", f"s3://bucket/{name}")
    found = read_manifest(storage, "s3://bucket/in/*.mp4", prefix="s3://bucket/out/")
    assert [(item.job.source, item.job.output) for item in found.items] == [
        ("s3://bucket/in/a.mp4", "s3://bucket/out/a.mp4"), ("s3://bucket/in/b.mp4", "s3://bucket/out/b.mp4"),
    ]  # fmt: skip
    assert len(read_manifest(storage, "s3://bucket/in/", prefix="s3://bucket/out").items) == 3
    storage.put_bytes(
        b"items: ['*.mp4', deep/c.mp4, nothing.mp4, 's3://no-bucket-here/z.mp4']", "s3://bucket/in/m.yaml"
    )
    with pytest.raises(ManifestError) as refused:
        read_manifest(storage, "s3://bucket/in/m.yaml", prefix="s3://bucket/out")
    assert [problem.text.split("; ")[0] for problem in refused.value.problems] == [
        "source s3://bucket/in/nothing.mp4: no such file", "source s3://no-bucket-here/z.mp4: no such bucket",
    ]  # fmt: skip
    many = "\n".join(f'"s3://bucket/in/{name}.mp4"' for name in ("a", "b", *(f"missing-{n}" for n in range(10))))
    (tmp_path / "m.jsonl").write_text(many)
    with pytest.raises(ManifestError) as refused:
        read_manifest(storage, str(tmp_path / "m.jsonl"), prefix="s3://bucket/out")
    assert [problem.line for problem in refused.value.problems] == list(range(3, 13))


def test_a_file_of_weights_is_seen_from_the_manifest(folder: Path) -> None:
    (folder / "mine.pth").write_bytes(b"x")
    lines = "- {source: clips/a.mp4, audio: voices/a.wav, task: 'lip-sync:model=./mine.pth'}"
    (item,) = items_of(folder, lines)
    assert item.job.tasks[0].option("model") == str(folder / "mine.pth")
    with pytest.raises(ManifestError, match=r"other.pth: no such file of weights"):
        items_of(folder, lines.replace("mine", "other"))


def test_speakers_and_photos_are_seen_from_the_folder_of_the_manifest(folder: Path) -> None:
    (folder / "bob.jpg").write_bytes(b"photo")
    line = {
        "source": "clips/a.mp4", "audio": "voices/a.wav", "task": "lip-sync", "face": "like:bob.jpg#2",
        "speaker": ["2=voices/b.wav", "like:bob.jpg=voices/c.wav"], "sound": "main",
    }  # fmt: skip
    (item,) = items_of(folder, json.dumps(line) + "\n", name="m.jsonl")
    assert item.job.tasks[0].option("face") == f"like:{folder}/bob.jpg#2"
    assert [str(one) for one in item.job.speakers] == [
        f"track:2={folder}/voices/b.wav",
        f"like:{folder}/bob.jpg={folder}/voices/c.wav",
    ]
    assert item.job.sound == "main"
    as_mapping = {**line, "speaker": {"2": "voices/b.wav"}}
    (item,) = items_of(folder, json.dumps(as_mapping) + "\n", name="m.jsonl")
    assert [str(one) for one in item.job.speakers] == [f"track:2={folder}/voices/b.wav"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"speaker": "2=voices/x.wav"}, r"speaker track:2 .*voices/x\.wav: no such file"),
        ({"speaker": "voices/b.wav"}, "is not understood; expected WHO=VOICE"),
        ({"face": "like:none.jpg"}, r"none\.jpg: no such file"),
        ({"sound": "loud"}, "--sound loud: expected one of mix, main"),
    ],
)
def test_wrong_speakers_and_photos_are_told_with_their_line(folder: Path, more: dict[str, str], told: str) -> None:
    line = {"source": "clips/a.mp4", "audio": "voices/a.wav", "task": "lip-sync", **more}
    with pytest.raises(ManifestError, match=told):
        items_of(folder, json.dumps(line) + "\n", name="m.jsonl")
