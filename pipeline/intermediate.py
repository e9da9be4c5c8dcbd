"""A lossless copy of a source whose frames can be reached in any order; made once, in work storage.

Needed where a source is read in one pass only (`mode` linear) but its frames are shown backwards
or again and again.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt

from pipeline.decode import Counts, decode_source_frames
from pipeline.index import EXACT, INDEX_VERSION, KEYFRAME, SourceIndex
from pipeline.index_cache import load_index, store_index
from pipeline.scratch import held
from pipeline.storage import Storage
from tasks.picture import FrameBatch, frames_per_batch

Table = npt.NDArray[np.int64]

#: FFV1 with every frame a keyframe: lossless in every layout that moves, 8 to 16 bits.
_OPTIONS = {"level": "3", "g": "1", "slices": "4", "slicecrc": "0", "context": "0"}


def make_intermediate(
    storage: Storage,
    index: SourceIndex,
    work_prefix: str,
    scratch: Path,
    *,
    damaged: str = "fail",
    counts: Counts | None = None,
) -> SourceIndex:
    """The index of the copy: the same frames, pts and format, random access, one ranged read a run.

    Raises:
        SourceError: a frame does not decode and `damaged` is "fail".
        StorageError: the copy cannot be written.
    """
    uri = f"{work_prefix.rstrip('/')}/intermediate-{index.identity.key}-{INDEX_VERSION}.ffv1"
    if (known := load_index(storage, f"{uri}.npz", uri)) is not None:
        return known
    batch_frames = frames_per_batch(index.format.frame_bytes)
    batches = decode_source_frames(storage, index, 0, index.frames, batch_frames, damaged=damaged, counts=counts)
    encoder = _encoder(index)
    with held(scratch), tempfile.NamedTemporaryFile(dir=scratch, suffix=".ffv1") as file:
        sizes = []
        for packet in _packets(encoder, batches):
            sizes.append(file.write(bytes(packet)))
        file.flush()
        storage.put_file(file.name, uri)
    made = _index_of_copy(index, np.array(sizes, np.int64), bytes(encoder.extradata or b""), uri, storage)
    store_index(storage, f"{uri}.npz", made)
    return made


def _encoder(index: SourceIndex) -> "av.VideoCodecContext":
    encoder = av.VideoCodecContext.create("ffv1", "w")
    encoder.width, encoder.height = index.format.width, index.format.height
    encoder.pix_fmt = index.format.layout.name
    encoder.time_base, encoder.thread_count = Fraction(1, 25), 1
    encoder.options = dict(_OPTIONS)
    encoder.open()
    return encoder


def _packets(encoder: "av.VideoCodecContext", batches: Iterator[FrameBatch]) -> "Iterator[av.Packet[Any]]":
    """One packet a frame, in order; the file is these packets one after another, their places in the index."""
    for batch in batches:
        for position in range(len(batch)):
            frame = _frame(batch, position)
            frame.pts = batch.first_frame + position
            yield from encoder.encode(frame)
    yield from encoder.encode(None)


def _frame(batch: FrameBatch, position: int) -> "av.VideoFrame":
    format = batch.format
    frame = av.VideoFrame(format.width, format.height, format.layout.name)
    for source, plane in zip(batch.planes, frame.planes, strict=True):
        picture = source[position]
        rows = np.frombuffer(cast(Any, plane), picture.dtype).reshape(-1, plane.line_size // picture.dtype.itemsize)
        rows[: picture.shape[0], : picture.shape[1]] = picture
    return frame


def _index_of_copy(index: SourceIndex, sizes: Table, extradata: bytes, uri: str, storage: Storage) -> SourceIndex:
    durations = np.diff(np.append(index.frame_pts, index.end_pts))
    places = np.cumsum(sizes) - sizes
    flags = np.full(index.frames, KEYFRAME | EXACT)
    numbers = np.arange(index.frames, dtype=np.int64)
    return replace(
        index,
        uri=uri,
        identity=storage.identity(uri),
        container="packets",
        mode="random",
        reason="",
        stream=replace(index.stream, number=0, codec="ffv1"),
        extradata=extradata,
        prefix=b"",
        decoded_pixel_format=index.format.layout.name,
        packets=np.stack([index.frame_pts, index.frame_pts, durations, places, sizes, flags], axis=1).astype(np.int64),
        frame_packets=numbers,
        split_points=numbers,
        ranged=True,
        still=False,
    )
