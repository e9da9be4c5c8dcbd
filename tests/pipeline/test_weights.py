"""Weights that a task names: found, fetched and checked before work starts, or refused with what to do."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pipeline import weights as module
from pipeline.job import RenderJob
from pipeline.keys import digest_of
from pipeline.model import COMMERCIAL_USE, Model
from pipeline.prepare import check_request
from pipeline.render import render_in_process
from pipeline.storage import Storage
from pipeline.weights import absolute, check_weights, fetched, with_weights
from tasks.errors import JobError, ReelyardError, WeightsError
from tasks.nets.rrdb_net import RRDBNet
from tasks.nets.srvgg_net import SRVGGNet
from tasks.table import parse_task
from tests.tasks.lip_sync.generators import copying_weights, save

DEMO = Path(__file__).parents[2] / "tasks" / "data" / "demo"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node whose cache is empty."""
    monkeypatch.setattr(module, "usual_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("weights") / "mine.pth", copying_weights())


def known(path: Path, *uris: str) -> Model:
    """A catalogue's entry for a file."""
    return Model(
        name="wav2lip", task="lip sync", architecture="wav2lip-96", file="wav2lip.pth", urls=uris,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(), licence="research only", forbids=(COMMERCIAL_USE,),
    )  # fmt: skip


def job(tmp_path: Path, model: str) -> RenderJob:
    task = parse_task(f"lip-sync:model={model}")
    return RenderJob(
        str(DEMO / "portrait.jpg"), str(tmp_path / "out.mp4"), tasks=(task,), audio=str(DEMO / "voice.wav")
    )


@pytest.mark.parametrize(
    ("model", "kind", "words"),
    [
        ("wav2lup", JobError, "no model 'wav2lup': did you mean 'wav2lip'"),
        ("gfpgan", JobError, "model=gfpgan is gfpgan-clean.*embedded, wav2lip, wav2lip-gan, or a file"),
        ("./nowhere.pth", WeightsError, "nowhere.pth: no such file of weights; check the spelling"),
    ],
)
def test_a_model_that_is_none_is_refused_at_once(
    tmp_path: Path, model: str, kind: type[ReelyardError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        check_request(Storage(), job(tmp_path, model))


def test_weights_that_cannot_be_had_are_told_before_any_work(tmp_path: Path, home: Path) -> None:
    with pytest.raises(WeightsError, match="wav2lip.pth.*`reelyard models fetch wav2lip` tries again"):
        render_in_process(job(tmp_path, "wav2lip"))
    assert [path.name for path in tmp_path.iterdir() if path != home] == []


def test_weights_of_another_network_are_told_before_any_work(tmp_path: Path) -> None:
    state = copying_weights()
    state["output_block.1.bias"] = torch.zeros(4)
    wrong = save(tmp_path / "wrong.pth", state)
    with pytest.raises(WeightsError, match=r"output_block.1.bias is 4, expected 3"):
        render_in_process(job(tmp_path, str(wrong)))
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.pth"]


def test_a_named_model_comes_from_the_mirror_and_its_licence_is_said(
    tmp_path: Path, home: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirrored = tmp_path / "mirror" / "wav2lip" / "wav2lip.pth"
    mirrored.parent.mkdir(parents=True)
    mirrored.write_bytes(checkpoint.read_bytes())
    monkeypatch.setattr(module, "MODELS", (known(checkpoint),))
    short = replace(job(tmp_path, "wav2lip"), models=str(tmp_path / "mirror"), fit="video", source=_short(tmp_path))
    report = render_in_process(short)
    assert any("forbids commercial use" in note for note in report.notes)
    assert (home / "wav2lip" / "wav2lip.pth").is_file()
    assert report.tasks[0]["faces drawn"] == 1


def _short(tmp_path: Path) -> str:
    """Two frames of the portrait."""
    import av
    import cv2

    path = tmp_path / "short.mp4"
    picture = cv2.imread(str(DEMO / "portrait.jpg"))
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = picture.shape[1], picture.shape[0], "yuv420p"
        for _ in range(2):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        output.mux(stream.encode(None))
    return str(path)


def test_weights_count_by_content_and_not_by_where_they_lie(tmp_path: Path, checkpoint: Path) -> None:
    spec = parse_task("lip-sync:model=wav2lip")
    here, there = (
        with_weights(spec, mirror=mirror, models={"wav2lip": known(checkpoint)}) for mirror in ("", "s3://models")
    )
    assert here.weights[0].uris != there.weights[0].uris
    assert digest_of(here) == digest_of(there) != digest_of(spec)
    (tmp_path / "other.pth").write_bytes(b"other")
    other = with_weights(spec, models={"wav2lip": known(tmp_path / "other.pth")})
    assert digest_of(other) != digest_of(here)


def test_a_file_that_another_node_has_otherwise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    path.write_bytes(b"one")
    spec = with_weights(parse_task(f"lip-sync:model={path}"))
    assert fetched(Storage(), spec).weights[0].path == str(path)
    path.write_bytes(b"two")
    with pytest.raises(WeightsError, match="on this node, expected .*; use one file for all"):
        fetched(Storage(), spec)
    path.unlink()
    with pytest.raises(WeightsError, match="no such file on this node"):
        fetched(Storage(), spec)


def test_files_are_named_absolutely_for_other_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute(parse_task("lip-sync:model=a/b.pth")).option("model") == str(tmp_path / "a" / "b.pth")
    assert absolute(parse_task("lip-sync:model=wav2lip")).option("model") == "wav2lip"
    assert absolute(parse_task("lip-sync")) == parse_task("lip-sync")


@pytest.mark.parametrize("options", ["precision=fp16", "runtime=graphs", "runtime=onnx,precision=fp16"])
def test_what_only_gpus_compute_is_not_refused_by_a_planner_without_one(options: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in SRVGGNet(2, 1, 4).state_dict().items()}, path)
    check_weights(Storage(), [with_weights(parse_task(f"upscale:model={path},{options}"))])
    dense = tmp_path / "dense.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in RRDBNet(2, 1, 8, 4).state_dict().items()}, dense)
    with pytest.raises(JobError, match="precision=bf16 was asked for, but RRDBNet .* bears only fp16, fp32"):
        check_weights(Storage(), [with_weights(parse_task(f"upscale:model={dense},precision=bf16"))])
