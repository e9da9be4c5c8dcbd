"""`reelyard batch`: from a manifest to outputs and a report, and the exit code that tells how it ended."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cluster.cli import app
from cluster.cli.batch import command_again, exit_code_of
from tests.cluster.conftest import FRAMES, numbers_of, write_numbered


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    (tmp_path / "in").mkdir()
    shutil.copy(source, tmp_path / "in" / "a.mp4")
    write_numbered(tmp_path / "in" / "b.mp4", frames=30)
    (tmp_path / "in" / "broken.mp4").write_bytes(b"no video")
    return tmp_path


@pytest.fixture
def batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(folder)
    return lambda *arguments: CliRunner().invoke(app, ["batch", *arguments, "--in-process"])


def test_a_manifest_is_rendered_and_the_same_command_again_finds_it_done(
    batch: Callable[..., Any], folder: Path
) -> None:
    (folder / "m.jsonl").write_text(
        '{"defaults": {"codec": "ffv1", "name": "{stem}.mkv"}}\n"in/a.mp4"\n"in/broken.mp4"\n'
        '{"source": "in/b.mp4", "trim": [0.2, null], "output": "elsewhere/b.mkv"}\n'
    )
    told = batch("m.jsonl", "-o", "out/", "--json")
    assert told.exit_code == 3, told.stderr
    document = json.loads(told.stdout)
    assert document["run"]["status"] == "partial"
    phases = {video["name"]: video["phase"] for video in document["videos"]}
    assert phases == {"a.mkv": "rendered", "broken.mkv": "refused", str(folder / "elsewhere/b.mkv"): "rendered"}
    assert numbers_of(folder / "out/a.mkv") == list(range(FRAMES))
    assert numbers_of(folder / "elsewhere/b.mkv") == list(range(5, 30))
    assert json.loads((folder / "out/report.json").read_text())["totals"] == document["totals"]
    again = batch("m.jsonl", "-o", "out/", "--partial-ok")
    assert again.exit_code == 0
    assert "already done: a.mkv" in again.stderr
    assert "partial: 3 videos (2 already done, 1 refused)" in again.stderr


def test_a_batch_that_is_refused_starts_nothing(batch: Callable[..., Any], folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    for arguments, words in (
        (("in/*.avi", "-o", "out"), "no file fits this pattern"),
        (("in/*.mp4",), "give -o PREFIX/"),
        (("in/*.mp4", "-o", "out", "--gpus", "4"), "add --dry-run"),
        (("in/*.mp4", "-o", "out", "--device", "tpu"), "auto, cpu, cuda"),
        (("in/*.mp4", "-o", "out", "--report", "r.txt"), "ends in .json"),
        (("in/*.mp4", "-o", "out", "--stage", "s3://bucket/x"), "--stage is for a cluster that cannot"),
        (("in/*.mp4", "-o", "out", "--address", "h:1"), "give one of them"),
    ):
        told = batch(*arguments)
        assert (told.exit_code, words in told.stderr) == (2, True), told.stderr
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("status", "partial_ok", "code"),
    [("rendered", False, 0), ("partial", False, 3), ("partial", True, 0), ("failed", True, 1), ("stopped", True, 130)],
)
def test_the_exit_code_is_how_the_batch_ended(status: str, partial_ok: bool, code: int) -> None:
    assert exit_code_of({"run": {"status": status}}, partial_ok) == code


def test_the_command_in_the_report_holds_no_key() -> None:
    typed = [
        "batch",
        "my list.csv",
        "--storage-option",
        "secret=a b",
        "--storage-option=key=x",
        "--storage-option",
        "region=eu",
    ]
    assert command_again(typed) == (
        "reelyard batch 'my list.csv' --storage-option 'secret=…' '--storage-option=key=…' --storage-option region=eu"
    )


def test_local_sources_are_staged_and_rendered_from_there(
    batch: Callable[..., Any], folder: Path, s3_options: dict[str, str]
) -> None:
    from pipeline.storage import Storage

    storage = Storage(s3_options)
    options = [word for key, value in s3_options.items() for word in ("--storage-option", f"{key}={value}")]
    asked = ("in/[ab].mp4", "-o", "s3://bucket/staged-run/out/", "--codec", "ffv1", "--name", "{stem}.mkv", *options)
    told = batch(*asked, "--stage", "s3://bucket/staged-run", "--json")
    assert told.exit_code == 0, told.stderr
    assert f"staged: {folder}/in/a.mp4 (" in told.stderr
    sources = [video["source"] for video in json.loads(told.stdout)["videos"]]
    assert all(source.startswith("s3://bucket/staged-run/staged/") for source in sources)
    (folder / "a.mkv").write_bytes(storage.read("s3://bucket/staged-run/out/a.mkv"))
    assert numbers_of(folder / "a.mkv") == list(range(FRAMES))
    again = batch(*asked, "--stage", "s3://bucket/staged-run")
    assert f"already staged: {folder}/in/a.mp4 (" in again.stderr
    assert "2 videos (2 already done)" in again.stderr
    cleaned = CliRunner().invoke(app, ["clean", "s3://bucket/staged-run", "--staged", *options])
    assert cleaned.exit_code == 0
    assert not [uri for uri in storage.list("s3://bucket/staged-run") if "/staged/" in uri]
