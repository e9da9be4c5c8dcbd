"""Restored faces from the files on: one result however a video is cut; weights count by content or are asked for."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline import weights as module
from pipeline.job import EncodeRequest, RenderJob
from pipeline.keys import digest_of
from pipeline.prepare import check_request
from pipeline.render import render_in_process
from pipeline.storage import Storage
from pipeline.weights import with_weights
from tasks.errors import JobError, ReelyardError, WeightsError
from tasks.nets.gfpgan import GFPGAN
from tasks.table import parse_task
from tests.pipeline.test_journey import frames_of
from tests.pipeline.test_lip_sync_faults import DEMO, write_portrait
from tests.tasks.recipe import shapes, weights


@pytest.fixture(scope="module")
def restoring(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of few channels."""
    path = tmp_path_factory.mktemp("weights") / "small.pth"
    torch.save({"params_ema": weights(shapes(GFPGAN(1 / 32)))}, path)
    return path


def _job(folder: Path, task: str) -> RenderJob:
    if not (folder / "source.mp4").exists():
        write_portrait(folder / "source.mp4", frames=6)
    return RenderJob(
        str(folder / "source.mp4"), str(folder / "out.mp4"), (parse_task(task),), str(DEMO / "voice.wav"), "video",
        encode=EncodeRequest(qp=0, preset="ultrafast"),
    )  # fmt: skip


def test_one_segment_and_many_are_restored_alike(restoring: Path, tmp_path: Path) -> None:
    seen = []
    for seconds, options in ((0.08, f"restore={restoring}"), (60.0, f"restore={restoring}"), (60.0, "")):
        job = _job(tmp_path, f"lip-sync:{options}" if options else "lip-sync")
        output = tmp_path / f"{seconds}{bool(options)}.mp4"
        report = render_in_process(replace(job, output=str(output), segment_seconds=seconds))
        assert report.tasks[0].get("restored") == ("mouth, by small.pth, strength 0.8" if options else None)
        seen.append((report.counts["segments"], frames_of(output)))
    assert seen[0][0] > 1 == seen[1][0]
    assert seen[0][1] == seen[1][1] != seen[2][1]


def test_weights_of_restoration_count_by_content(restoring: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pth"
    copy.write_bytes(restoring.read_bytes())
    here, there = (with_weights(parse_task(f"lip-sync:restore={path}")) for path in (restoring, copy))
    assert digest_of(here) == digest_of(there) != digest_of(with_weights(parse_task("lip-sync")))
    assert digest_of(here) != digest_of(with_weights(parse_task(f"lip-sync:restore={restoring},restore_strength=0.5")))


@pytest.mark.parametrize(
    ("named", "kind", "words"),
    [
        ("gfpgann", JobError, "no model 'gfpgann': did you mean 'gfpgan'"),
        ("wav2lip", JobError, "restore=wav2lip is wav2lip-96.*one of none, gfpgan, gfpgan-1.3, or a file"),
        ("./nowhere.pth", WeightsError, "nowhere.pth: no such file of weights; check the spelling"),
    ],
)
def test_what_restores_nothing_is_refused_at_once(
    tmp_path: Path, named: str, kind: type[ReelyardError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        check_request(Storage(), _job(tmp_path, f"lip-sync:restore={named}"))


def test_without_the_weights_it_is_said_what_to_do_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "usual_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(module, "MODELS", tuple(replace(model, urls=()) for model in module.MODELS))
    with pytest.raises(WeightsError, match="restore=gfpgan: .*GFPGANv1.4.pth.*`reelyard models fetch gfpgan`"):
        render_in_process(_job(tmp_path, "lip-sync:restore=gfpgan"))
    assert not (tmp_path / "out.mp4").exists()
