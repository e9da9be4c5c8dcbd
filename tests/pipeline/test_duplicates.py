"""Copies of a source have one key wherever they lie; a twin that was changed or encoded again has another."""

import itertools
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.duplicates import content_key, sampled_ranges
from pipeline.probe import probe
from pipeline.storage import Storage
from tests.sources import Sources, encode, remux
from tests.stores import CountingStorage


def key_of(storage: Storage, uri: object) -> str:
    return content_key(storage, probe(storage, str(uri)))


def test_copies_have_one_key_on_disk_and_in_a_store(
    sources: Sources, tmp_path: Path, s3_options: dict[str, str]
) -> None:
    source = sources.path("open mp4")
    copy = tmp_path / "another name.mov"
    copy.write_bytes(source.read_bytes())
    os.utime(copy, (1, 1))
    storage = Storage(s3_options)
    storage.put_file(copy, "s3://bucket/duplicates/copy.mp4")
    keys = {key_of(storage, uri) for uri in (source, copy, "s3://bucket/duplicates/copy.mp4")}
    assert len(keys) == 1


def test_a_twin_that_differs_in_one_byte_has_another_key(sources: Sources, tmp_path: Path) -> None:
    source = sources.path("open mp4")
    data = bytearray(source.read_bytes())
    index = probe(Storage(), str(source))
    at = int(index.packets[len(index.packets) // 2, 3]) + 40
    data[at] ^= 1
    twin = tmp_path / "twin.mp4"
    twin.write_bytes(data)
    assert key_of(Storage(), twin) != key_of(Storage(), source)


def test_the_same_pictures_in_another_encoding_or_container_are_no_copy(sources: Sources, tmp_path: Path) -> None:
    source = sources.path("open mp4")
    again = encode(tmp_path / "again.mp4", "libx264", options={"preset": "veryfast", "crf": "24"})
    other = remux(source, tmp_path / "other.mp4", shift_seconds=0.2)
    assert len({key_of(Storage(), path) for path in (source, again, other)}) == 3


def test_a_long_source_costs_one_mebibyte(tmp_path: Path) -> None:
    long = encode(tmp_path / "long.mkv", "rawvideo", frames=range(300), audio=None)
    index = probe(Storage(), str(long))
    storage = CountingStorage()
    content_key(storage, index)
    assert index.identity.size > 9 << 20
    assert storage.bytes == 1 << 20


@given(st.integers(0, 1 << 40))
def test_what_is_looked_at_lies_inside_in_order_and_apart(size: int) -> None:
    ranges = sampled_ranges(size)
    assert all(0 <= start < end <= size for start, end in ranges)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ranges))
    assert sum(end - start for start, end in ranges) <= 1 << 20
    assert not size or (ranges[0][0], ranges[-1][1]) == (0, size)
