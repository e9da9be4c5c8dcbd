"""A batch for a cluster elsewhere: what its manifest names on this machine goes with it, or is refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from cluster.cli import app, batch, render
from cluster.cli.submit import values_of
from cluster.job_fields import checked_fields, job_of_fields
from cluster.manifest.read import read_manifest
from cluster.manifest.values import Item
from cluster.manifest.written import fields_of, manifest_of
from pipeline.storage import Storage
from tasks.errors import JobError

COMMANDS: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def parsed(name: str, *words: str) -> dict[str, Any]:
    return values_of(COMMANDS[name].make_context(name, list(words)))


_NAMES = st.text(st.sampled_from("ab 1.-_é'\"\\"), min_size=1, max_size=8).map(lambda text: f"x{text}x")
_FIELDS = st.fixed_dictionaries(
    {"source": _NAMES.map("s3://in/{}.mp4".format), "output": _NAMES.map("s3://out/{}.mkv".format)},
    optional={
        "task": st.sampled_from(["lip-sync", "lip-sync:face=left"]),
        "trim": st.sampled_from(["1:2.5", ":10", "0:01:30-0:02:00"]),
        "frame_rate": st.sampled_from(["25", "29.97", "24000/1001"]),
        "segment_seconds": st.sampled_from([0.5, 12]),
        "codec": st.sampled_from(["ffv1", "h264"]),
        "crf": st.integers(0, 51),
        "label": _NAMES,
        "damaged": st.sampled_from(["fail", "repeat"]),
        "alpha": st.just("fail"),
        "work": _NAMES.map("s3://work/{}".format),
        "overwrite": st.booleans(),
        "deinterlace": st.booleans(),
    },
)


@given(_FIELDS, st.booleans())
def test_a_job_written_out_is_read_as_the_same_job(fields: dict[str, object], voiced: bool) -> None:
    if voiced or "task" in fields:
        fields |= {"audio": "s3://in/voice.wav", "fit": "audio:hold"}
    job = job_of_fields(checked_fields(fields))
    assert job_of_fields(checked_fields(fields_of(job))) == job


def test_items_written_out_are_read_as_the_same_items(tmp_path: Path) -> None:
    made = []
    for number, name in enumerate(("a.mp4", "b[1]*.mp4", "c?.mp4")):
        (tmp_path / name).write_bytes(b"x")
        job = job_of_fields(checked_fields({"source": str(tmp_path / name), "output": f"s3://out/{number}.mp4"}))
        made.append(Item(job.output, number + 1, job, priority=number, group="g" * number, weight=1.5))
    (tmp_path / "all.jsonl").write_text(manifest_of(made))
    again = read_manifest(Storage(), str(tmp_path / "all.jsonl")).items
    assert [(i.job, i.priority, i.group, i.weight) for i in again] == [
        (i.job, i.priority, i.group, i.weight) for i in made
    ]


def _manifest(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("one", "two"):
        (tmp_path / "in" / f"{name}.mp4").write_bytes(name.encode())
    (tmp_path / "voice.wav").write_bytes(b"voice")
    path = tmp_path / "all.jsonl"
    path.write_text('{"source": "in/*.mp4", "crf": 30}\n{"source": "s3://bucket/far.mp4"}\n')
    return path


def test_local_files_of_a_manifest_are_staged_and_a_manifest_of_the_rest_takes_its_place(
    tmp_path: Path, s3_options: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, option in (("AWS_ENDPOINT_URL", "endpoint_url"), ("AWS_ACCESS_KEY_ID", "key")):
        monkeypatch.setenv(name, s3_options[option])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_options["secret"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", s3_options["region"])
    words = (str(_manifest(tmp_path)), "-o", "s3://bucket/out/", "--audio", str(tmp_path / "voice.wav"))
    values = parsed("batch", *words, "--fit", "video")
    seen = batch.for_elsewhere(values, "s3://bucket/stage", tmp_path)
    assert (seen["audio"], seen["stage"], seen["prefix"]) == (None, None, "s3://bucket/out/")
    lines = [json.loads(line) for line in Path(seen["manifest"]).read_text().splitlines()]
    assert [line["output"] for line in lines] == [f"s3://bucket/out/{n}.mp4" for n in ("one", "two", "far")]
    storage = Storage(dict(s3_options))
    assert [storage.read(line["source"]) for line in lines[:2]] == [b"one", b"two"]
    assert lines[2]["source"] == "s3://bucket/far.mp4"
    assert {storage.read(line["audio"]) for line in lines} == {b"voice"}
    assert [line.get("crf") for line in lines] == ["30", "30", None]
    again = batch.for_elsewhere(values, "s3://bucket/stage", tmp_path)
    assert Path(again["manifest"]).read_text() == Path(seen["manifest"]).read_text()


def test_local_files_without_a_stage_and_outputs_here_are_refused(tmp_path: Path) -> None:
    path = str(_manifest(tmp_path))
    with pytest.raises(
        JobError, match=r"names files of this machine \(2, as .*one\.mp4.*--stage s3://BUCKET/PREFIX batch"
    ):
        batch.for_elsewhere(parsed("batch", path, "-o", "s3://bucket/out/"), None, tmp_path)
    with pytest.raises(
        JobError, match=r"output .*/out/one\.mp4: a path of this machine, where the cluster cannot write"
    ):
        batch.for_elsewhere(parsed("batch", path, "-o", f"{tmp_path}/out/"), "s3://bucket/stage", tmp_path)
    (tmp_path / "far.jsonl").write_text('{"source": "s3://bucket/far.mp4"}\n')
    values = parsed("batch", str(tmp_path / "far.jsonl"), "-o", "s3://bucket/out/")
    assert batch.for_elsewhere(values, None, tmp_path) == values
    assert sorted(p.name for p in tmp_path.iterdir()) == ["all.jsonl", "far.jsonl", "in", "voice.wav"]


def test_a_job_file_becomes_options_for_a_cluster_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "source: talk.mp4\ntask: lip-sync\naudio: s3://in/voice.wav\ncrf: 20\nface: left\n"
    )
    (tmp_path / "talk.mp4").write_bytes(b"x")
    values = parsed("render", "--job", str(tmp_path / "job.yaml"), "-o", "s3://out/a.mp4", "--crf", "30")
    seen = render.for_elsewhere(values, None, tmp_path)
    assert (seen["job"], seen["source"], seen["output"]) == (None, str(tmp_path / "talk.mp4"), "s3://out/a.mp4")
    assert seen["task"][0].startswith("lip-sync:face=left")
    assert (seen["crf"], seen["face"]) == ("30", None)
