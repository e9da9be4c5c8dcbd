"""A source of any kind through decode, a lossless encoder and the stitch is the source again."""

import itertools
import os
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest

from pipeline.carry import plan_carry
from pipeline.decode import decode_lease
from pipeline.encode import encode_lease
from pipeline.encoders import choose_encoding, container_of
from pipeline.hdr import parse_hdr10
from pipeline.job import EncodeRequest, RenderJob
from pipeline.probe import probe
from pipeline.segments import Segment
from pipeline.stamps import rescaled
from pipeline.stitch import Stitched, StitchRequest, stitch
from pipeline.storage import Storage
from pipeline.timeline import Timeline, plan_timeline
from pipeline.work import Lease, SegmentWork
from tasks.errors import SourceError
from tests.pipeline.pictures import planes_of
from tests.sources import Sources, sequential

STORAGE = Storage({})
KINDS = [
    "open mp4",
    "vfr mp4",
    "edit-list trim mp4",
    "delayed mp4",
    "10-bit mkv",
    "open ts",
    "prores mov",
    "mpeg4 avi",
    "hevc mp4",
    "intra-refresh mp4",
    "vp9 webm",
    "negative cts mp4",
    "interlaced ts",
]


def render(source: str, output: Path, request: EncodeRequest, cut: int) -> tuple[Stitched, Timeline]:
    """The source unchanged, in segments of `cut` frames."""
    index = probe(STORAGE, source)
    timeline = plan_timeline(index, RenderJob(source, str(output)), None)
    container = container_of(str(output))
    spec = choose_encoding(index.format, timeline, request, container, hdr=parse_hdr10(index.codec_hdr))
    borders = [*range(0, len(timeline), cut), len(timeline)]
    works = tuple(
        SegmentWork(
            Segment(i, a, b),
            timeline.source_frames[a:b],
            timeline.pts[a:b],
            0,
            (),
            spec,
            f"key{i}",
            str(output.parent / f"part{i}.mp4"),
        )
        for i, (a, b) in enumerate(itertools.pairwise(borders))
    )
    leases = [Lease(works, 8)] if index.mode == "linear" else [Lease((w,), 8) for w in works]
    parts = [
        part
        for lease in leases
        for part in encode_lease(STORAGE, lease, decode_lease(STORAGE, index, lease), output.parent)
    ]
    carry = plan_carry(index, timeline, container, new_audio=False)
    done = stitch(STORAGE, parts, timeline, spec, StitchRequest(str(output), carry), output.parent / "work")
    return done, timeline


def shown(path: Path) -> list[tuple[int, list[np.ndarray]]]:
    with av.open(str(path)) as container:
        return [(f.pts, planes_of(f)) for f in container.decode(video=0)]


@pytest.mark.parametrize("kind", KINDS)
def test_identity_gives_every_frame_bit_for_bit_at_its_time(kind: str, sources: Sources, tmp_path: Path) -> None:
    source = sources.path(kind)
    output = tmp_path / "film.mp4"
    done, timeline = render(str(source), output, EncodeRequest(qp=0), cut=37)
    found = shown(output)
    assert done.frames == len(found) == len(timeline)
    with av.open(str(output)) as container:
        base = container.streams.video[0].time_base
    assert [pts for pts, _ in found] == rescaled(timeline.pts, timeline.time_base, base).tolist()
    expected = [planes_of(f) for f in sequential(source) if f.pts is not None]
    expected = [expected[i] for i in timeline.source_frames] if len(expected) >= len(timeline) else expected
    assert len(expected) == len(found)
    for (_, mine), theirs in zip(found, expected, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(mine, theirs, strict=True))


def _odd_files() -> list[str]:
    folder = os.environ.get("REELYARD_TEST_DATA")
    return sorted(p.name for p in (Path(folder) / "data" / "odd").iterdir()) if folder else []


@pytest.mark.skipif(not _odd_files(), reason="REELYARD_TEST_DATA is not set: no real files to try")
@pytest.mark.parametrize("name", [n for n in _odd_files() if "4k60" not in n and "AndroidVideo" not in n])
def test_a_real_file_is_rendered_whole_or_refused_in_words(name: str, test_data: Path, tmp_path: Path) -> None:
    output = tmp_path / "film.mp4"
    try:
        done, timeline = render(
            str(test_data / "data" / "odd" / name), output, EncodeRequest(preset="ultrafast"), cut=100
        )
    except SourceError as error:
        assert name in str(error) and not output.exists()
        return
    found = [_Look(f.format.name, _thumbnail(f)) for f in sequential(output)]
    assert done.frames == len(timeline) == len(found)
    source = test_data / "data" / "odd" / name
    expected = [
        _Look(f.format.name, _thumbnail(f)) for f in sequential(source, probe(STORAGE, str(source)).stream.number)
    ]
    if len(expected) == len(found) and expected[0].format == found[0].format:
        assert max(np.abs(a.luma - b.luma).max() for a, b in zip(expected, found, strict=True)) < 0.1


class _Look(NamedTuple):
    format: str
    luma: np.ndarray


def _thumbnail(frame: av.VideoFrame) -> np.ndarray:
    """Means of 4 by 4 tiles of the luma, from 0 to 1: what a viewer would see wrong from afar."""
    luma = planes_of(frame)[0] / ((1 << frame.format.components[0].bits) - 1)
    height, width = (n // 4 * 4 for n in luma.shape)
    if not height or not width:
        return luma.mean(keepdims=True)
    return luma[:height, :width].reshape(4, height // 4, 4, width // 4).mean(axis=(1, 3))
