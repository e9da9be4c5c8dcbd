"""NVDEC is trusted where its frames are those of software; every other end is software, with the reason told."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from pipeline import hardware_decode
from pipeline.hardware_decode import (
    NVDEC,
    SOFTWARE,
    DecoderChoice,
    choose_decoder,
    decoder_of,
    difference,
    nvdec_fault,
    trial_fault,
)
from pipeline.index import SourceIndex
from pipeline.job import EncodeRequest, RenderJob
from pipeline.packets import new_decoder
from pipeline.probe import probe
from pipeline.render import render_in_process
from pipeline.storage import Storage
from tasks.errors import SegmentError
from tests.pipeline.test_journey import frames_of
from tests.sources import Sources

Change = Callable[[list[av.VideoFrame], int], list[av.VideoFrame]]


@pytest.fixture(autouse=True)
def _tried_anew() -> Iterator[None]:
    hardware_decode._known.clear()
    yield
    hardware_decode._known.clear()


@pytest.fixture(scope="module")
def index(sources: Sources) -> SourceIndex:
    return probe(Storage(), str(sources.path("closed mp4")))


class Pretended:
    """A decoder that gives what software gives, as NV12 like NVDEC, after a change."""

    def __init__(self, index: SourceIndex, change: Change) -> None:
        self._decoder, self._change, self._given = new_decoder(index, 1), change, 0

    def decode(self, packet: Any) -> list[av.VideoFrame]:
        frames = []
        for frame in self._decoder.decode(packet):
            changed = frame.reformat(format="nv12")
            changed.pts = frame.pts
            frames += self._change([changed], self._given)
            self._given += 1
        return frames


def pretended(change: Change) -> Callable[[SourceIndex, int], Any]:
    return lambda index, threads: Pretended(index, change)


def as_it_is(frames: list[av.VideoFrame], number: int) -> list[av.VideoFrame]:
    return frames


def one_code_off(at: int) -> Change:
    def change(frames: list[av.VideoFrame], number: int) -> list[av.VideoFrame]:
        if number != at:
            return frames
        (frame,) = frames
        array = frame.to_ndarray()
        array[3, 5] ^= 1
        other = av.VideoFrame.from_ndarray(array, "nv12")
        other.pts = frame.pts
        return [other]

    return change


def lost(at: int) -> Change:
    return lambda frames, number: [] if number == at else frames


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (as_it_is, ""),
        (one_code_off(4), "frame 4 is 1 code values apart from software's"),
        (lost(4), "frame 4 is missing"),
    ],
)
def test_a_source_s_own_frames_decide(index: SourceIndex, change: Change, fault: str) -> None:
    assert trial_fault(Storage(), index, pretended(change)) == fault


def test_a_decoder_that_does_not_open_says_why(index: SourceIndex) -> None:
    def broken(index: SourceIndex, threads: int) -> Any:
        raise ValueError("Cannot load libnvcuvid.so.1\nand more")

    assert trial_fault(Storage(), index, broken) == "Cannot load libnvcuvid.so.1"


@pytest.mark.parametrize(
    ("asked", "codec", "ranged", "fault", "choice"),
    [
        ("software", "h264", True, "never asked", DecoderChoice(SOFTWARE)),
        ("nvdec", "h264", True, "", DecoderChoice(NVDEC)),
        ("nvdec", "h264", True, "no GPU", DecoderChoice(SOFTWARE, "no GPU")),
        ("nvdec", "prores", True, "", DecoderChoice(SOFTWARE, "NVDEC has no decoder of prores here")),
        ("nvdec", "hevc", False, "", DecoderChoice(SOFTWARE, "the container is read through its demuxer, which decodes "
                                                             "in software")),
    ],
)  # fmt: skip
def test_the_choice_and_its_reason(asked: str, codec: str, ranged: bool, fault: str, choice: DecoderChoice) -> None:
    def tried() -> str:
        assert choice.back_end == NVDEC or choice.reason == fault, "tried for nothing"
        return fault

    assert choose_decoder(asked, codec, ranged, tried) == choice
    assert (choice.words == "") == (asked == "software")


def test_frames_are_compared_one_by_one() -> None:
    planes = (np.zeros((1, 2, 2), np.uint8),)
    assert difference([planes, None], [planes, None]) == ""
    assert difference([planes], [None]) == "frame 0 is missing"
    assert difference([None], [planes]) == "frame 0 is one that software has not"


def _job(source: Path, output: Path, **more: Any) -> RenderJob:
    return RenderJob(str(source), str(output), encode=EncodeRequest("ffv1"), segment_seconds=0.4, **more)


def test_a_trusted_decoder_renders_the_same_frames_and_is_told(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware_decode, "new_nvdec", pretended(as_it_is))
    source = sources.path("closed mp4")
    software, hardware = (
        render_in_process(_job(source, tmp_path / f"{decoder}.mkv", decoder=decoder))
        for decoder in ("software", "nvdec")
    )
    assert frames_of(tmp_path / "software.mkv") == frames_of(tmp_path / "nvdec.mkv")
    assert hardware.counts["frames decoded by nvdec"] == hardware.counts["frames"]
    assert not [name for name in software.counts if "decoded" in name]
    keys = [{part.key for part in report.parts} for report in (software, hardware)]
    assert not keys[0] & keys[1], "who decodes is part of a part's key"


def test_without_a_gpu_software_decodes_and_the_reason_is_told(sources: Sources, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    report = render_in_process(_job(sources.path("closed mp4"), tmp_path / "out.mkv", decoder="nvdec"))
    (told,) = [name for name in report.counts if "decoded" in name]
    assert told.startswith("frames decoded in software, not by nvdec: ")
    assert report.counts[told] == report.counts["frames"]
    assert "nvdec" not in nvdec_fault() and nvdec_fault()


def test_a_trusted_decoder_that_fails_on_the_way_is_trusted_no_more(
    sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware_decode, "new_nvdec", pretended(lost(20)))
    source, output = sources.path("closed mp4"), tmp_path / "out.mkv"
    job = RenderJob(str(source), str(output), encode=EncodeRequest("ffv1"), segment_seconds=60.0, decoder="nvdec")
    with pytest.raises(SegmentError, match="NVDEC did not give a frame that it should have") as failed:
        render_in_process(job)
    assert failed.value.kind == "WorkerLost", "tried again by a cluster, the source is not to blame"
    report = render_in_process(job)
    (told,) = [name for name in report.counts if "decoded" in name]
    assert told.startswith("frames decoded in software, not by nvdec: it failed on the way: ")
    assert report.counts["frames"] == len(frames_of(output))


def test_damaged_frames_are_found_by_software_alone(index: SourceIndex) -> None:
    assert decoder_of(Storage(), index, "nvdec", "repeat").words == (
        "frames decoded in software, not by nvdec: with --damaged repeat software decides which frames are damaged"
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_nvdec_decodes_as_software_does(index: SourceIndex) -> None:
    fault = nvdec_fault()
    if fault:
        pytest.skip(f"no NVDEC: {fault}")
    assert trial_fault(Storage(), index) == ""
