"""A check of what was drawn through Ray, in a batch and from the command: the same numbers, nobody else harmed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from cluster.cli import app
from pipeline.job import EncodeRequest, RenderJob
from pipeline.render import no_progress, render, render_in_process
from pipeline.storage import Storage
from tasks.quality import parse_gate
from tasks.table import parse_task
from tests.cluster.test_batch import Run, items_of
from tests.pipeline.test_lip_sync_journey import DEMO, moving_face

__all__ = ["moving_face"]

UNREACHABLE = parse_gate("sync=1.1")


def _job(source: Path, output: Path) -> RenderJob:
    return RenderJob(
        str(source), str(output), (parse_task("lip-sync"),), str(DEMO / "voice.wav"), "video",
        encode=EncodeRequest(qp=0, preset="ultrafast"), segment_seconds=0.8, quality=True,
    )  # fmt: skip


def test_ray_s_cells_see_what_this_process_sees(
    moving_face: Path, tmp_path: Path, ray_pool: Callable[..., Any]
) -> None:
    here = render_in_process(_job(moving_face, tmp_path / "here.mp4"))
    there = render(_job(moving_face, tmp_path / "there.mp4"), ray_pool(), Storage(), no_progress)
    assert there.quality.measures == here.quality.measures
    assert len(there.quality.measures) == 5
    assert [one.frame for one in there.quality.worst] == [one.frame for one in here.quality.worst]


def test_a_video_that_falls_short_is_told_as_failed_and_the_others_go_on(moving_face: Path, tmp_path: Path) -> None:
    job = {"tasks": (parse_task("lip-sync"),), "audio": str(DEMO / "voice.wav"), "fit": "video"}
    bad = items_of([moving_face], tmp_path / "bad", quality_gate=UNREACHABLE, **job)
    good = items_of([moving_face] * 2, tmp_path / "good", quality_gate=parse_gate("sync=0.1"), **job)[1:]
    run = Run([*bad, *good], tmp_path)
    assert run.finished() == {bad[0].name: "failed", good[0].name: "rendered"}
    told = run.last(bad[0].name)
    assert told.kind == "quality"
    assert "falls short of --quality-gate: sync is 0." in told.message
    assert "1-face.quarantined.mp4" in told.message
    assert "--quality-gate sync=1.1" in told.remedy
    assert not Path(bad[0].job.output).exists()
    assert Path(good[0].job.output).exists()


def test_the_command_ends_with_1_and_its_report_shows_the_worst_frames(moving_face: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    asked = ["render", str(moving_face), "--task", "lip-sync", "--audio", str(DEMO / "voice.wav"), "--fit", "video"]
    asked += ["--in-process", "--preset", "ultrafast", "-o", str(output), "--quality-gate", "sync=1.1,sharpness=0.2"]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 1
    assert "quality: seam 0." in told.stderr
    assert "out.mp4: falls short of --quality-gate: sync is 0." in told.stderr
    assert "put aside as" in told.stderr
    document = json.loads((tmp_path / "out.mp4.report.json").read_text())
    assert document["job"]["status"] == "quarantined"
    assert document["job"]["put_aside"] == str(tmp_path / "out.quarantined.mp4")
    assert document["quality"]["falls short"][0].startswith("sync is 0.")
    page = (tmp_path / "out.mp4.report.html").read_text()
    assert page.count('alt="source and drawn mouth') == len(document["quality"]["worst frames"]) == 6
    refused = CliRunner().invoke(app, [*asked[:-1], "sync"])
    assert refused.exit_code == 2
    assert "expected NAME=NUMBER" in refused.stderr
