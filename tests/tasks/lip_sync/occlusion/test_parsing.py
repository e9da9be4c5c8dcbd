"""Parts of faces: what is no face keeps the source's pixels, whoever draws; without the network nothing begins."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.errors import JobError, WeightsError
from tasks.lip_sync import embedded
from tasks.lip_sync.face_frame import face_frames, ffhq_matrices, in_frame
from tasks.lip_sync.occlusion.parsing import FaceParts
from tasks.lip_sync.task import LipSyncTask
from tasks.nets.bisenet import CLASSES, SIDE, BiSeNet
from tasks.picture import FrameBatch
from tasks.residency import residents
from tasks.table import parse_task
from tasks.weights import Weights
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, as_batch
from tests.tasks.lip_sync.generators import Loud, at_hand
from tests.tasks.lip_sync.test_task import FRAMES, Talk, concluded, faces, output, pictures, places, rendered
from tests.tasks.recipe import shapes, weights

#: What is planted before the right half of the mouth of the portrait: left, top, right, bottom in its pixels.
SLEEVE = (226, 100, 300, 220)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks of one test are no other's; voices and the generator are stood in for."""
    monkeypatch.setattr("tasks.lip_sync.wav2lip.backend.Generator", Loud)
    monkeypatch.setattr(embedded, "articulate", lambda mel, statistics: Talk())
    yield
    residents._open.clear()


@pytest.fixture(scope="module")
def clip() -> FrameBatch:
    return as_batch(pictures())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under upstream's keys, as its checkpoint keeps them: bare."""
    path = tmp_path_factory.mktemp("parsing") / "parts.pth"
    torch.save(weights(shapes(BiSeNet())), path)
    return path


def opened(model: str, options: str, path: Path) -> LipSyncTask:
    spec = parse_task(
        f"lip-sync:model={model},parsing={path},{options}" + (",silence=draw" if model != "embedded" else "")
    )
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    parts = Weights("parsing", str(path), "bisenet-18", sha256, path.name, path=str(path))
    own = () if model == "embedded" else (at_hand(Path("made.pth")),)
    return LipSyncTask(replace(spec, weights=(*own, parts)))


def planted(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """The network is stood in for by one that sees a sleeve in its place, and skin everywhere else."""
    corners = np.array([SLEEVE[:2], SLEEVE[2:]], np.float64)
    head = ffhq_matrices(face_frames(PORTRAIT_POINTS[None]), SIDE)
    left, top, right, bottom = np.rint(in_frame(head, corners[None])[0].ravel() / 8).astype(int)
    seen: list[Tensor] = []

    def scores(self: FaceParts, face: Tensor) -> Tensor:
        seen.append(face)
        made = torch.zeros(1, len(CLASSES), SIDE // 8, SIDE // 8)
        made[:, CLASSES.index("skin")] = 9
        made[:, CLASSES.index("cloth"), top:bottom, left:right] = 18
        return made

    monkeypatch.setattr(FaceParts, "_scores", scores)
    return seen


@pytest.mark.parametrize(
    ("model", "options"),
    [("embedded", "occlusion=parsing"), ("wav2lip", "occlusion=parsing"), ("wav2lip", "mask=parsing")],
)
def test_what_is_no_face_keeps_the_source_s_pixels(
    model: str, options: str, clip: FrameBatch, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = planted(monkeypatch)
    task = opened(model, options, checkpoint)
    plan = concluded(task, faces(), output(range(FRAMES), clip), clip)
    luma = rendered(task, plan, clip, 7)[0]
    other = rendered(opened(model, options, checkpoint), plan, clip, 5)[0]
    np.testing.assert_array_equal(luma, other, err_msg="however frames are batched")
    changed = luma != clip.planes[0]
    for i in range(6, FRAMES - 6):
        x, y = (int(v) for v in places()[i])
        sleeve = (slice(SLEEVE[1] + y + 3, SLEEVE[3] + y - 3), slice(SLEEVE[0] + x + 3, SLEEVE[2] + x - 3))
        assert not changed[i][sleeve].any(), f"frame {i}"
        assert changed[i][120 + y : 180 + y, 190 + x : 222 + x].any(), "beside it the mouth is drawn"
    assert seen[0].shape == (1, 3, SIDE, SIDE)
    assert 0 <= float(seen[0].min()) < float(seen[0].max()) <= 1


def test_the_whole_way_runs_with_weights_of_upstream_s_layout(clip: FrameBatch, checkpoint: Path) -> None:
    task = opened("embedded", "occlusion=parsing", checkpoint)
    few = FrameBatch(clip.format, tuple(p[:2] for p in clip.planes), 0, clip.pts[:2], clip.source_frames[:2])
    plan = concluded(task, faces()[:2], output(range(2), few), few)
    rendered(task, plan, few, 2)
    assert task.models == (f"parts {hashlib.sha256(checkpoint.read_bytes()).hexdigest()[:8]}",)
    [demand] = task.demands(clip.format)
    assert demand.model == task.models[0]


def test_without_the_network_nothing_begins(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"occlusion=parsing needs a network .* add parsing=face-parsing-18"):
        LipSyncTask(parse_task("lip-sync:occlusion=parsing"))
    with pytest.raises(JobError, match=r"mask=parsing, occlusion=parsing needs a network"):
        LipSyncTask(parse_task("lip-sync:model=wav2lip,mask=parsing,occlusion=parsing"))
    with pytest.raises(JobError, match=r"found parsing=face-parsing-18, which nothing asks for"):
        LipSyncTask(parse_task("lip-sync:parsing=face-parsing-18"))


def test_a_file_of_another_network_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(2, 2)}, other)
    with pytest.raises(WeightsError, match=r"other\.pth: these are not weights of BiSeNet"):
        opened("embedded", "occlusion=parsing", other).load("cpu")
