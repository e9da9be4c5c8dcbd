"""A check of what was drawn, whole: told in the report, sharded, and an output that falls short is put aside."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.job import EncodeRequest, RenderJob
from pipeline.quality import PERIOD_FRAMES, watched_pictures
from pipeline.quarantine import why_aside
from pipeline.render import render_in_process
from pipeline.segments import Segment
from tasks.device_batch import DeviceBatch
from tasks.errors import JobError
from tasks.lip_sync.embedded import Embedded
from tasks.quality import parse_gate
from tasks.table import parse_task
from tasks.task import TaskInputs
from tasks.turning import Box
from tests.pipeline.test_journey import frames_of
from tests.pipeline.test_lip_sync_journey import DEMO, FRAMES, moving_face
from tests.tasks.lip_sync.syncnet.experts import random_weights

__all__ = ["moving_face"]

GOOD = parse_gate("seam=0.5,flicker=2,border=1.8,sharpness=0.6,sync=0.3")


def _job(source: Path, output: Path, **more: object) -> RenderJob:
    job = RenderJob(
        str(source), str(output), (parse_task("lip-sync"),), str(DEMO / "voice.wav"), "video",
        encode=EncodeRequest(qp=0, preset="ultrafast"), segment_seconds=0.8,
    )  # fmt: skip
    return replace(job, **more)  # type: ignore[arg-type]


def test_a_good_output_is_told_as_good_and_its_frames_are_as_without_a_check(moving_face: Path, tmp_path: Path) -> None:
    plain = render_in_process(_job(moving_face, tmp_path / "plain.mp4"))
    checked = render_in_process(_job(moving_face, tmp_path / "checked.mp4", quality_gate=GOOD))
    assert not plain.quality.asked
    assert checked.status == "rendered"
    assert checked.quality.short == (), checked.quality.measures
    assert {"seam", "flicker", "border", "sharpness", "sync"} == set(checked.quality.measures)
    assert checked.quality.looked_at < FRAMES, "a few frames a second say enough"
    assert frames_of(tmp_path / "plain.mp4") == frames_of(tmp_path / "checked.mp4")
    assert not (tmp_path / "checked.mp4.work").exists()
    facts = checked.quality.facts
    assert facts["frames looked at"] == checked.quality.looked_at
    assert all("picture" not in one for one in facts["worst frames"])  # type: ignore[attr-defined]


def test_one_segment_and_many_are_judged_alike(moving_face: Path, tmp_path: Path) -> None:
    found = [
        render_in_process(_job(moving_face, tmp_path / f"{s}.mp4", quality=True, segment_seconds=s)).quality.measures
        for s in (0.5, 60.0)
    ]
    assert "border" not in found[1], "one segment has none"
    for name, value in found[1].items():
        assert found[0][name] == pytest.approx(value, rel=0.1), "more frames are looked at near borders, no others"


@pytest.fixture
def blurred(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A backend that draws all mouths soft."""
    whole = Embedded.render

    def soft(self: Embedded, batch: DeviceBatch, inputs: TaskInputs) -> None:
        whole(self, batch, inputs)
        for i in np.flatnonzero((inputs.per_frame["face"] >= 0).any(axis=1)).tolist():
            middle = inputs.per_frame["points"][i, 0][:32].mean(0)
            x, y = (int(v) // 2 * 2 for v in middle)
            around = [Box(x - 40, y - 30, x + 40, y + 30)]
            rgb = batch.read([i], around)
            rgb[0] = rgb.new_tensor(cv2.GaussianBlur(rgb[0].permute(1, 2, 0).numpy(), (0, 0), 2.5)).permute(2, 0, 1)
            batch.write([i], around, rgb)

    monkeypatch.setattr(Embedded, "render", soft)
    yield
    monkeypatch.undo()


def test_an_output_that_falls_short_is_put_aside_and_the_same_command_without_a_gate_takes_it(
    moving_face: Path, tmp_path: Path, blurred: None
) -> None:
    output = tmp_path / "out.mp4"
    report = render_in_process(_job(moving_face, output, quality_gate=GOOD))
    assert report.status == "quarantined"
    assert any(line.startswith("sharpness is 0.") for line in report.quality.short)
    assert not output.exists(), "nothing lies where a good output was asked for"
    assert report.put_aside == str(tmp_path / "out.quarantined.mp4")
    assert len(frames_of(Path(report.put_aside))) == FRAMES
    again = render_in_process(_job(moving_face, output, quality_gate=parse_gate("sharpness=0.01")))
    assert again.status == "rendered"
    assert again.counts["segments resumed"] == again.counts["segments"] > 1
    assert frames_of(output) == frames_of(Path(report.put_aside))
    assert not (tmp_path / "out.mp4.work").exists()


def test_parts_that_nobody_looked_at_are_rendered_again_for_a_check(moving_face: Path, tmp_path: Path) -> None:
    output, work = tmp_path / "out.mp4", str(tmp_path / "work")
    render_in_process(_job(moving_face, output, keep_parts=True, work=work))
    checked = render_in_process(_job(moving_face, output, quality=True, overwrite=True, work=work))
    assert checked.counts["segments resumed"] == 0
    assert checked.quality.looked_at > 0
    assert not list((tmp_path / "work").rglob("quality/*.npz")), "what a finished job leaves is removed"


def test_an_output_that_was_checked_is_held_against_another_gate_without_a_render(
    moving_face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mp4"
    first = render_in_process(_job(moving_face, output, quality=True))
    monkeypatch.setattr("pipeline.render.segment_works", None)  # Whoever renders now fails.
    again = render_in_process(_job(moving_face, output, quality_gate=GOOD))
    assert again.status == "already done"
    assert again.quality.measures == pytest.approx(first.quality.measures, abs=1e-4)
    assert again.quality.looked_at == first.quality.looked_at
    assert again.quality.short == ()
    strict = render_in_process(_job(moving_face, output, quality_gate=parse_gate("sharpness=9")))
    assert strict.status == "quarantined"
    assert not output.exists(), "nothing lies where a good output was asked for"
    assert len(frames_of(Path(strict.put_aside))) == FRAMES
    assert "it is whole: move it back" in why_aside(strict)
    assert not (tmp_path / "out.mp4.work").exists()


def test_an_output_that_nobody_looked_at_is_rendered_again_for_a_gate(
    moving_face: Path, tmp_path: Path, blurred: None
) -> None:
    output = tmp_path / "out.mp4"
    render_in_process(_job(moving_face, output))
    before = frames_of(output)
    assert render_in_process(_job(moving_face, output)).status == "already done", "as ever, where nobody asks"
    checked = render_in_process(_job(moving_face, output, quality_gate=parse_gate("sharpness=0.01")))
    assert checked.status == "rendered"
    assert any("was rendered before and nobody looked at it" in note for note in checked.notes)
    assert frames_of(output) == before
    assert render_in_process(_job(moving_face, output)).status == "already done"
    plain = tmp_path / "plain.mp4"
    render_in_process(_job(moving_face, plain))
    short = render_in_process(_job(moving_face, plain, quality_gate=GOOD))
    assert short.status == "quarantined"
    assert not plain.exists(), "an output that falls short does not stay where a good one was asked for"
    assert "takes it from the parts" in why_aside(short)


def test_a_source_without_a_face_passes_and_says_that_nothing_was_drawn(sources, tmp_path: Path) -> None:
    report = render_in_process(_job(sources.path("closed mp4"), tmp_path / "out.mp4", quality_gate=GOOD))
    assert report.status == "rendered"
    assert report.quality.asked
    assert report.quality.measures == {}


def test_a_check_of_what_draws_nothing_is_refused(moving_face: Path, tmp_path: Path) -> None:
    for tasks, found in (((), "no task"), ((parse_task("upscale"),), "upscale")):
        with pytest.raises(JobError, match=rf"--quality: nothing is drawn that can be checked \(found {found}\)"):
            render_in_process(_job(moving_face, tmp_path / "out.mp4", tasks=tasks, quality_gate=GOOD))
    assert not list(tmp_path.iterdir())


def test_pairs_are_looked_at_all_over_and_both_sides_of_each_border() -> None:
    looked = [i + 50 for i in watched_pictures(Segment(1, 50, 100), 50, 100)]
    assert looked[:2] == [50, 51]
    assert looked[-2:] == [98, 99]
    assert {54, 55, 60, 61} <= set(looked)
    assert 56 not in looked
    assert watched_pictures(Segment(1, 50, 100), 57, 60) == []
    assert len(looked) <= 2 * (50 // PERIOD_FRAMES + 1) + 4


def test_with_a_syncnet_its_figures_are_told_and_do_not_depend_on_segments(moving_face: Path, tmp_path: Path) -> None:
    weights = random_weights(tmp_path / "random.pth")
    task = parse_task(f"lip-sync:sync_model={weights.path}")
    reports = [
        render_in_process(_job(moving_face, tmp_path / f"{s}.mp4", quality=True, segment_seconds=s, tasks=(task,)))
        for s in (0.5, 60.0)
    ]
    for report in reports:
        assert {"lse_d", "lse_c", "lse_offset"} <= set(report.quality.measures)
        assert 0 < report.quality.measures["lse_d"] < 2
    one, many = ({k: v for k, v in r.quality.measures.items() if k.startswith("lse")} for r in reports)
    assert one == many
    assert frames_of(tmp_path / "0.5.mp4") == frames_of(tmp_path / "60.0.mp4")
