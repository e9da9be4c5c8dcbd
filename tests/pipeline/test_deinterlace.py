"""Deinterlaced segments equal the deinterlaced whole."""

from itertools import pairwise

import numpy as np

from pipeline.decode import decode_lease, decode_source_frames
from pipeline.probe import probe
from pipeline.storage import Storage
from tests.pipeline.test_decode import digests, lease_of
from tests.sources import Sources

_STORAGE = Storage()


def test_deinterlaced_segments_equal_the_whole(sources: Sources) -> None:
    index = probe(_STORAGE, str(sources.path("interlaced ts")))
    assert index.format.field_order == "tff"
    whole = digests(decode_source_frames(_STORAGE, index, 0, index.frames, 16, deinterlace=True))
    plain = digests(decode_source_frames(_STORAGE, index, 0, index.frames, 16))
    assert len(whole) == index.frames and all(a != b for a, b in zip(whole, plain, strict=True))
    for cuts in ([37, 74, 111], [47, 48, 49, 96], [1, 149]):
        pieces: list[str] = []
        for start, end in pairwise([0, *cuts, index.frames]):
            lease = lease_of(index, list(range(start, end)), deinterlace=True)
            batches = list(decode_lease(_STORAGE, index, lease))
            assert {b.format.field_order for b in batches} == {"progressive"}
            pieces += digests(batches)
        assert pieces == whole


def test_deinterlaced_frames_run_backwards_too(sources: Sources) -> None:
    index = probe(_STORAGE, str(sources.path("interlaced ts")))
    whole = digests(decode_source_frames(_STORAGE, index, 0, 60, 16, deinterlace=True))
    asked = [*range(50, 20, -1), 20, 5, 6, 7]
    lease = lease_of(index, asked, deinterlace=True)
    batches = list(decode_lease(_STORAGE, index, lease))
    assert digests(batches) == [whole[n] for n in asked]
    assert np.concatenate([b.source_frames for b in batches]).tolist() == asked
