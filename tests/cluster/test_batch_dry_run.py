"""`reelyard batch … --dry-run`: what would be done, what it would cost, what would be refused; nothing is written."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cluster.cli import app
from cluster.forecast import Machines, VideoForecast, totals_of
from pipeline.job import RenderJob
from pipeline.render import render_in_process
from tests.cluster.conftest import FRAMES, write_numbered


@dataclass(frozen=True)
class Told:
    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        return json.loads(self.stdout)


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    """Three clips, of which two are one; and a file that is no video."""
    (tmp_path / "in").mkdir()
    shutil.copy(source, tmp_path / "in" / "a.mp4")
    shutil.copy(source, tmp_path / "in" / "b.mp4")
    write_numbered(tmp_path / "in" / "c.mp4", frames=30)
    (tmp_path / "in" / "broken.mp4").write_bytes(b"no video")
    return tmp_path


@pytest.fixture
def dry_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Told]:
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Told:
        before = sorted(folder.rglob("*"))
        result = CliRunner().invoke(app, ["batch", *arguments, "--dry-run"])
        assert sorted(folder.rglob("*")) == before
        return Told(result.exit_code, result.stdout, result.stderr)

    return run


def test_a_plan_tells_each_video_what_is_refused_and_the_sums(dry_run: Callable[..., Told]) -> None:
    told = dry_run("in/", "-o", "out/")
    assert told.code == 3, told.stderr
    lines = told.stdout.splitlines()
    assert lines[0].split()[:5] == ["a.mp4", "100", "frames", "4.0", "s"]
    assert "b.mp4" in lines[1] and lines[1].endswith("(shows the same as a.mp4)")
    assert any(line.startswith("refused: broken.mp4: ") and "expected a video or a picture" in line for line in lines)
    assert any(line.startswith("note: no sound of its own (a.mp4, b.mp4, c.mp4)") for line in lines)
    assert "videos      2 to render, 1 copies of another, 1 refused" in lines
    assert f"to render   {FRAMES + 30} frames (5.2 s) in 2 segments" in lines
    assert lines[-1].startswith("finish      about")


def test_exit_codes_tell_whether_all_some_or_none_can_be_rendered(dry_run: Callable[..., Told], folder: Path) -> None:
    assert dry_run("in/[abc].mp4", "-o", "out").code == 0
    assert dry_run("in/*", "-o", "out").code == 3
    assert dry_run("in/*", "-o", "out", "--partial-ok").code == 0
    assert dry_run("in/broken.mp4", "-o", "out").code == 1
    assert dry_run("in/a.mp4", "-o", "out", "--trim", "90:95").code == 2
    (folder / "m.jsonl").write_text('"in/a.mp4"\n"in/x.mp4"\n{"source": "in/c.mp4", "codec": 7, "crff": 1}\n')
    told = dry_run("m.jsonl", "-o", "out")
    assert told.code == 2
    assert told.stderr.splitlines()[0] == "error: m.jsonl: 2 problems; nothing was started"
    assert "line 2: source" in told.stderr and "no such file" in told.stderr
    assert "line 3: 'crff' is no field: did you mean 'crf'" in told.stderr


def test_options_and_names_hold_for_every_video(dry_run: Callable[..., Told]) -> None:
    told = dry_run("in/[ac].mp4", "-o", "out", "--name", "{index}-{stem}.mov", "--codec", "prores", "--json")
    assert told.code == 0, told.stderr
    videos = told.document["videos"]
    assert [video["name"] for video in videos] == ["1-a.mov", "2-c.mov"]
    assert all("prores_ks" in video["picture"] for video in videos)


def test_gpus_and_their_price_give_a_cost(dry_run: Callable[..., Told]) -> None:
    asked = ("in/[ac].mp4", "-o", "out", "--label", "x", "--json")
    document = dry_run(*asked, "--gpus", "2", "--gpu-kind", "l4", "--price-per-gpu-hour", "0.5").document
    totals = document["totals"]
    assert totals["cost"] == pytest.approx(totals["gpu_hours"] * 0.5) and totals["cost"] > 0
    assert totals["gpu_hours"] == pytest.approx(2 * totals["finish_seconds"] / 3600)
    assert dry_run(*asked).document["totals"]["cost"] is None
    told = dry_run(*asked[:-1], "--gpus", "2", "--price-per-gpu-hour", "1000")
    assert "GPU-hours, 0." in told.stdout and "at 1000 an hour" in told.stdout
    for words in (("--gpu-kind", "l4"), ("--price-per-gpu-hour", "1")):
        refused = dry_run(*asked, *words)
        assert (refused.code, "Give --gpus N too" in refused.stderr) == (2, True)


def test_what_is_done_and_what_is_another_job_s_is_told(dry_run: Callable[..., Told], folder: Path) -> None:
    (folder / "out").mkdir()
    for name in ("a", "c"):
        render_in_process(RenderJob(str(folder / f"in/{name}.mp4"), str(folder / f"out/{name}.mp4")))
    (folder / "m.jsonl").write_text('{"source": "in/a.mp4"}\n{"source": "in/c.mp4", "crf": 30}\n')
    videos = dry_run("m.jsonl", "-o", "out", "--json").document["videos"]
    assert [video["status"] for video in videos] == ["already done", "refused"]
    assert "exists and is not this job's; add --overwrite" in videos[1]["reason"]


def test_only_jobs_that_ask_for_the_same_are_duplicates(dry_run: Callable[..., Told], folder: Path) -> None:
    (folder / "m.jsonl").write_text(
        '"in/a.mp4"\n{"source": "in/b.mp4", "crf": 30}\n{"source": "in/b.mp4", "name": "d"}\n'
    )
    videos = dry_run("m.jsonl", "-o", "out", "--json").document["videos"]
    assert [(video["status"], video["reason"]) for video in videos] == [
        ("render", ""), ("render", ""), ("duplicate", "shows the same as a.mp4"),
    ]  # fmt: skip


def test_staging_is_planned_and_needs_outputs_that_the_cluster_reaches(dry_run: Callable[..., Told]) -> None:
    refused = dry_run("in/a.mp4", "-o", "out", "--stage", "s3://bucket/stage")
    assert refused.code == 2
    assert "write to s3:// or another object store, as -o s3://bucket/stage/out/" in refused.stderr


def test_what_would_be_staged_is_told_and_not_sent(
    dry_run: Callable[..., Told], s3_options: dict[str, str], folder: Path
) -> None:
    from pipeline.storage import Storage

    options = [word for key, value in s3_options.items() for word in ("--storage-option", f"{key}={value}")]
    told = dry_run("in/[ac].mp4", "-o", "s3://bucket/dry/out", "--stage", "s3://bucket/dry", *options)
    assert told.code == 0, told.stderr
    size = sum((folder / "in" / name).stat().st_size for name in ("a.mp4", "c.mp4"))
    assert f"to stage    2 local files, {size / 1e6:.1f} MB, to s3://bucket/dry" in told.stdout
    assert Storage(s3_options).list("s3://bucket/dry") == ()


_VIDEO = VideoForecast(
    "a", 1, "a", "b", "render", frames=100, seconds=4.0, segments=4, moving_seconds=8, task_seconds=4
)
_videos = st.lists(
    st.builds(
        lambda moving, tasks, segments: replace(_VIDEO, moving_seconds=moving, task_seconds=tasks, segments=segments),
        st.floats(0, 1e4), st.floats(0, 1e4), st.integers(1, 100),
    ),
    max_size=20,
)  # fmt: skip


@given(_videos, st.integers(1, 100), st.floats(0, 100))
def test_more_gpus_never_finish_later_and_never_cost_less(videos: list[VideoForecast], gpus: int, price: float) -> None:
    fewer = totals_of(videos, Machines(gpus, 2, "l4", 16.0, price))
    more = totals_of(videos, Machines(gpus + 1, 2, "l4", 16.0, price))
    assert more.finish_seconds <= fewer.finish_seconds
    assert fewer.cost is not None and more.cost is not None
    assert more.cost >= fewer.cost * (1 - 1e-9)
    assert fewer.processor_hours == more.processor_hours


def test_only_what_is_rendered_costs() -> None:
    videos = [_VIDEO, *(replace(_VIDEO, status=status) for status in ("refused", "duplicate", "already done"))]
    totals = totals_of(videos, Machines(0, 2))
    assert (totals.frames, totals.finish_seconds, totals.gpu_hours, totals.cost) == (100, 6.0, 0.0, None)
    assert dict(totals.counts) == {"render": 1, "refused": 1, "duplicate": 1, "already done": 1}
