"""A part: the pictures of one segment through one encoder into one file; knows no tasks, no machines.

The part's file keeps packets in decode order and each frame's rank in presentation order as its
pts, in ticks of one frame: that fits any container whatever the times; the stitcher takes the true
pts from the plan.
"""

import errno
import hashlib
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
import numpy.typing as npt
from av.container.output import OutputContainer
from av.video.stream import VideoStream

from pipeline.encoder_frames import frames_of
from pipeline.encoders import configure
from pipeline.part import EncodeSpec, Part, PartDetails, content_uri, read_sidecar, sidecar_uri, write_sidecar
from pipeline.real_time import ordinary_threads
from pipeline.scratch import held, remove_abandoned_once
from pipeline.source import quiet_decoders
from pipeline.storage import Storage
from pipeline.storage_errors import AlreadyThere
from pipeline.work import Lease, SegmentWork
from tasks.errors import ResourceShortage, StitchError
from tasks.heap import return_freed_planes
from tasks.picture import Colour, FrameBatch, pixel_layout

#: dts of the part's file run ahead of its pts by this: more than any encoder reorders.
_LEAD_FRAMES = 64


@dataclass(frozen=True)
class EncodedPart:
    """A finished part in a local file."""

    frames: int
    extradata: bytes
    "As a demuxer of the part's file gives it."
    reorder_frames: int
    bytes: int
    sha256: str


class _Output(NamedTuple):
    """The open file and its one stream; the encoder's memory is freed with the last name for it."""

    container: OutputContainer
    stream: VideoStream


class PartEncoder:
    """Encodes one segment in one pass; on failure call `abort`, which leaves no file.

    Raises:
        StitchError: the encoder or the muxer failed.
        ResourceShortage: the scratch disk is full.
    """

    def __init__(self, spec: EncodeSpec, path: Path) -> None:
        layout = pixel_layout(spec.pixel_format)
        assert layout is not None
        quiet_decoders()
        return_freed_planes()
        self._spec, self.path, self._layout = spec, path, layout
        self._ranks: dict[int, int] = {}
        self._written = self._packets = self._reorder = 0
        self.cpu_seconds = 0.0
        container = av.open(str(path), "w", format=part_muxer(spec.encoder))
        rate = (spec.frame_rate or Fraction(25)).limit_denominator(1001)
        stream = container.add_stream(spec.encoder, rate=rate)
        assert isinstance(stream, VideoStream)
        self._output: _Output | None = _Output(container, stream)
        self._tick = 1 / rate
        configure(stream.codec_context, spec)
        stream.time_base = self._tick
        if spec.codec_tag:
            stream.codec_context.codec_tag = spec.codec_tag

    def write(self, batch: FrameBatch) -> None:
        """Take pictures in output order; they may still be read after this returns."""
        started, output = time.thread_time(), self._open
        try:
            for frame in frames_of(batch, self._layout, self._spec.width, self._spec.height):
                assert frame.pts is not None
                self._ranks[frame.pts] = self._written
                self._written += 1
                frame.time_base = self._spec.time_base
                _tag(frame, self._spec.colour)
                # The first frame opens the encoder.
                with ordinary_threads() if self._written == 1 else nullcontext():
                    packets = output.stream.encode(frame)
                self._mux(output, packets)
        except (av.FFmpegError, OSError) as error:
            raise _failure(self._spec.encoder, self.path, error) from error
        self.cpu_seconds += time.thread_time() - started

    def finish(self) -> EncodedPart:
        """Flush and close; the file is whole when this returns, and the encoder's memory is free."""
        started, output = time.thread_time(), self._open
        try:
            self._mux(output, output.stream.encode(None))
            output.container.close()
            # An encoder of 1080p holds 200 MB, which would be kept while the part is uploaded.
            del output
            self._output = None
            extradata = read_extradata(self.path)
        except (av.FFmpegError, OSError) as error:
            raise _failure(self._spec.encoder, self.path, error) from error
        if self._packets != self._written:
            raise StitchError(
                f"{self._spec.encoder} gave {self._packets} packets for {self._written} frames; "
                "expected one each; "
                "use another --codec"
            )
        size, digest = _measure(self.path)
        self.cpu_seconds += time.thread_time() - started
        return EncodedPart(self._written, extradata, self._reorder, size, digest)

    def abort(self) -> None:
        """Give up: close what is open, delete the file."""
        # A broken file is what an abort leaves; it is deleted below.
        with suppress(av.FFmpegError, OSError):
            if self._output is not None:
                self._output.container.close()
        self._output = None
        self.path.unlink(missing_ok=True)

    @property
    def _open(self) -> _Output:
        if self._output is None:
            raise ValueError(f"{self.path.name} is closed")
        return self._output

    def _mux(self, output: _Output, packets: "list[av.Packet[Any]]") -> None:
        for packet in packets:
            assert packet.pts is not None
            rank = self._ranks.pop(packet.pts)
            self._reorder = max(self._reorder, self._packets - rank)
            packet.time_base = self._tick
            packet.pts, packet.dts, packet.duration = rank, self._packets - _LEAD_FRAMES, 1
            self._packets += 1
            output.container.mux_one(packet)


def _tag(frame: av.VideoFrame, colour: Colour) -> None:
    """Colour on the frame too: prores reads it there, not on the encoder."""
    frame.colorspace, frame.color_primaries = colour.matrix, colour.primaries
    frame.color_trc, frame.color_range = colour.transfer, 2 if colour.full_range else 1


def part_muxer(encoder: str) -> str:
    """FFmpeg's muxer for parts of this encoder: mp4, which keeps colour and SAR; mov where mp4 refuses."""
    return "mov" if encoder == "prores_ks" else "mp4"


def read_extradata(path: Path) -> bytes:
    """The encoder's headers as the demuxer of a part's file gives them."""
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.extradata or b""


def encode_lease(
    storage: Storage,
    lease: Lease,
    batches: Iterator[FrameBatch],
    scratch: Path,
    *,
    details: Callable[[SegmentWork], PartDetails] | None = None,
) -> Iterator[Part]:
    """A part for each work of the lease, in order, each committed before the next begins.

    `batches` are the works' pictures without a gap.  A batch may cross from one work to the next.
    `details` is asked once a work, when all its pictures have come; what it tells goes into the part,
    beside the encoder's own CPU seconds (`encode`).

    Raises:
        StitchError: frames or pts are not those of the work; that work is not committed.
        StorageError: a write failed; nothing half-written is visible.
    """
    remove_abandoned_once(scratch.parent)
    rest: FrameBatch | None = None
    with held(scratch):
        for work in lease.works:
            # Two drivers may share a scratch folder and a key.
            name = f"{work.key}-{uuid.uuid4().hex[:12]}.{part_muxer(work.encode.encoder)}"
            encoder = PartEncoder(work.encode, scratch / name)
            try:
                rest = _feed(encoder, work, rest, batches)
                encoded = encoder.finish()
                known = details(work) if details is not None else PartDetails()
                yield _commit(storage, work, encoded, encoder, known)
            finally:
                encoder.abort()
    if rest is not None or next(batches, None) is not None:
        raise StitchError(f"more pictures came than the lease's {len(lease.works)} segments have")


def _feed(
    encoder: PartEncoder, work: SegmentWork, rest: FrameBatch | None, batches: Iterator[FrameBatch]
) -> FrameBatch | None:
    """Write exactly the work's frames; what is left over of the last batch comes back."""
    at, end = work.segment.start, work.segment.end
    while at < end:
        batch = rest if rest is not None else next(batches, None)
        rest = None
        if batch is None:
            raise StitchError(f"segment {work.segment.number}: {end - at} of {len(work.segment)} frames are missing")
        if len(batch) > end - at:
            batch, rest = _cut(batch, end - at)
        _check(batch, work, at)
        encoder.write(batch)
        at += len(batch)
        del batch  # Else it would be kept while the next is waited for.
    return rest


def _check(batch: FrameBatch, work: SegmentWork, at: int) -> None:
    planned = work.pts[at - work.segment.start :][: len(batch)]
    if batch.first_frame != at or not np.array_equal(batch.pts, planned):
        raise StitchError(
            f"segment {work.segment.number}: found frame {batch.first_frame} at pts {int(batch.pts[0])}, "
            f"expected frame {at} at pts {int(planned[0])}"
        )


def _cut(batch: FrameBatch, count: int) -> tuple[FrameBatch, FrameBatch]:
    def piece(a: int, b: int) -> FrameBatch:
        planes = tuple(p[a:b] for p in batch.planes)
        return FrameBatch(batch.format, planes, batch.first_frame + a, batch.pts[a:b], batch.source_frames[a:b])

    return piece(0, count), piece(count, len(batch))


def _commit(
    storage: Storage, work: SegmentWork, encoded: EncodedPart, encoder: PartEncoder, known: PartDetails
) -> Part:
    """Put the part, then its sidecar; where another driver was first, its part is the answer."""
    uri = content_uri(work.part_uri, encoded.sha256)
    part = Part(
        work.segment.number,
        work.segment.start,
        work.segment.end,
        work.key,
        uri,
        encoded.bytes,
        encoded.sha256,
        hashlib.sha256(encoded.extradata).hexdigest(),
        pts_digest(work.pts),
        encoded.reorder_frames,
        dict(known.counts),
        {**known.seconds, "encode": round(encoder.cpu_seconds, 3)},
        known.worker,
    )
    storage.put_file(encoder.path, uri)
    sidecar = sidecar_uri(work.part_uri)
    try:
        storage.put_bytes(write_sidecar(part), sidecar, create_only=True)
    except AlreadyThere:
        first = _first_part(storage, sidecar)
        if first is None:
            storage.put_bytes(write_sidecar(part), sidecar)
            return part
        if first.uri != uri:
            storage.delete(uri)
        return first
    return part


def _first_part(storage: Storage, sidecar: str) -> Part | None:
    """The part that a sidecar tells of; None where it is of another version or its part is gone."""
    try:
        first = read_sidecar(storage.read(sidecar))
    except ValueError:
        return None
    return first if storage.exists(first.uri) else None


def pts_digest(pts: npt.NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(pts, dtype="<i8").tobytes()).hexdigest()


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, digest


def _failure(encoder: str, path: Path, error: Exception) -> ResourceShortage | StitchError:
    if getattr(error, "errno", None) == errno.ENOSPC:
        return ResourceShortage(f"no space left for {path}; free some, or name another scratch folder")
    return StitchError(f"encoder {encoder} failed on {path.name}: {error}")
