"""A lossless copy reaches every frame of a one-pass source in any order."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.decode import decode_lease, decode_source_frames
from pipeline.intermediate import make_intermediate
from pipeline.probe import probe
from pipeline.storage import Storage
from tests.pipeline.test_decode import digests, lease_of
from tests.sources import Sources

_STORAGE = Storage()


@pytest.mark.parametrize("kind", ["duplicate-pts ts", "10-bit mkv", "prores mov", "gif"])
def test_the_copy_has_the_same_frames_and_times(kind: str, sources: Sources, tmp_path: Path) -> None:
    index = probe(_STORAGE, str(sources.path(kind)))
    copy = make_intermediate(_STORAGE, index, f"{tmp_path}/work", tmp_path)
    assert copy.mode == "random" and copy.ranged and copy.format == index.format
    assert np.array_equal(copy.frame_pts, index.frame_pts) and copy.end_pts == index.end_pts
    whole = digests(decode_source_frames(_STORAGE, index, 0, index.frames, 8))
    assert digests(decode_source_frames(_STORAGE, copy, 0, copy.frames, 8)) == whole
    asked = [*range(10, 0, -1), 3, 15, 2]
    assert digests(decode_lease(_STORAGE, copy, lease_of(copy, asked))) == [whole[n] for n in asked]


def test_the_copy_is_made_once(sources: Sources, tmp_path: Path) -> None:
    index = probe(_STORAGE, str(sources.path("gif")))
    first = make_intermediate(_STORAGE, index, str(tmp_path), tmp_path)
    written = (tmp_path / Path(first.uri).name).stat().st_mtime_ns
    again = make_intermediate(_STORAGE, index, str(tmp_path), tmp_path)
    assert (tmp_path / Path(again.uri).name).stat().st_mtime_ns == written
    assert np.array_equal(again.packets, first.packets)
