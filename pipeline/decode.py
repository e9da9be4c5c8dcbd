"""Decodes a lease into batches of planes, frame for frame as its works ask; knows no task.

What the decoder gives is compared with the plan: no frame is lost, doubled or shifted in silence.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipeline.frames import FrameReader, Picture
from pipeline.hardware_decode import SOFTWARE, decoder_of, distrust
from pipeline.index import SourceIndex
from pipeline.planes import PlaneWriter, new_planes
from pipeline.storage import Storage
from pipeline.work import Lease
from tasks.errors import SourceError, WorkerLost
from tasks.picture import FrameBatch, PictureFormat, Plane

Frames = npt.NDArray[np.int64]

#: By segment number: how many frames were "repeated" or "damaged".
Counts = dict[int, dict[str, int]]


@dataclass(frozen=True, eq=False)
class _Stretch:
    """Pictures to put in batches: which, when, and what to call the place in a message."""

    number: int
    "Of the segment, or of the first frame."
    place: str
    first_frame: int
    source_frames: Frames
    pts: Frames


def decode_lease(
    storage: Storage,
    index: SourceIndex,
    lease: Lease,
    *,
    thread_count: int = 1,
    counts: Counts | None = None,
) -> Iterator[FrameBatch]:
    """Batches of the lease's works in order, none across a work's border.

    `counts` gains, by segment, how many frames are "repeated" (lost, the one before shown) and "damaged"
    (shown, with errors the decoder covered up).

    Raises:
        SourceError: a frame does not decode and `lease.damaged` is "fail", or the source changed.
        WorkerLost: NVDEC, which was trusted, gave no frame where it should have.
        ValueError: a linear source is asked to run backwards; it needs an intermediate.
    """
    stretches = [
        _Stretch(w.segment.number, f"segment {w.segment.number}", w.segment.start, w.source_frames, w.pts)
        for w in lease.works
    ]
    chosen = decoder_of(storage, index, lease.decoder, lease.damaged)
    if counts is not None and chosen.words:
        for work in lease.works:
            counts.setdefault(work.segment.number, {})[chosen.words] = len(work.segment)
    reader = FrameReader(storage, index, thread_count, lease.deinterlace, chosen.new_decoder)
    try:
        yield from _batches(reader, stretches, lease.batch_frames, lease.damaged, counts)
    except SourceError as error:
        if chosen.back_end == SOFTWARE:
            raise
        distrust(index, f"it failed on the way: {error.message}")
        raise WorkerLost(
            f"NVDEC did not give a frame that it should have ({error.message}); this process decodes the source in "
            "software from now on: run the same command again where it was not tried again by itself"
        ) from error


def decode_source_frames(
    storage: Storage,
    index: SourceIndex,
    start: int,
    end: int,
    batch_frames: int,
    *,
    thread_count: int = 1,
    damaged: str = "fail",
    deinterlace: bool = False,
    counts: Counts | None = None,
) -> Iterator[FrameBatch]:
    """Batches of source frames [start, end) with their own pts; `first_frame` is a source frame number.

    Raises:
        SourceError: a frame does not decode and `damaged` is "fail", or the source changed.
    """
    wanted = np.arange(start, end, dtype=np.int64)
    stretch = _Stretch(start, f"frames {start} to {end}", start, wanted, index.frame_pts[start:end])
    reader = FrameReader(storage, index, thread_count, deinterlace)
    yield from _batches(reader, [stretch], batch_frames, damaged, counts)


def decoded_format(index: SourceIndex, *, deinterlace: bool = False) -> PictureFormat:
    """The format of the batches: the index's, progressive once deinterlaced."""
    return replace(index.format, field_order="progressive") if deinterlace else index.format


def _batches(
    reader: FrameReader, stretches: list[_Stretch], batch_frames: int, damaged: str, counts: Counts | None
) -> Iterator[FrameBatch]:
    index = reader.index
    if not index.identity.etag:
        reader.storage.check_unchanged(index.uri, index.identity)
    format = decoded_format(index, deinterlace=reader.deinterlace)
    writer = PlaneWriter(format, flat=index.flat)
    counts = counts if counts is not None else {}
    pictures = reader.pictures(np.concatenate([s.source_frames for s in stretches]))
    for stretch in stretches:
        filler = _Filler(index, writer, damaged, counts.setdefault(stretch.number, {}))
        for start in range(0, len(stretch.pts), batch_frames):
            # Made in a call: a name here would keep each batch until the next is whole.
            yield _next_batch(format, filler, pictures, stretch, slice(start, start + batch_frames))


def _next_batch(
    format: PictureFormat, filler: "_Filler", pictures: Iterator[Picture], stretch: _Stretch, part: slice
) -> FrameBatch:
    pts = stretch.pts[part]
    planes = new_planes(format, len(pts))
    filler.fill(planes, pictures, stretch.place)
    for plane in planes:
        plane.flags.writeable = False
    return FrameBatch(format, planes, stretch.first_frame + part.start, pts, stretch.source_frames[part])


@dataclass
class _Filler:
    """Writes pictures into the planes of a batch, and counts what was not as it should be."""

    index: SourceIndex
    writer: PlaneWriter
    damaged: str
    counts: dict[str, int]

    def fill(self, planes: tuple[Plane, ...], pictures: Iterator[Picture], place: str) -> None:
        previous = -1
        for position in range(len(planes[0])):
            picture = next(pictures)
            if picture.repeated:
                self._count_repeated(picture, place)
            if picture.number == previous:
                for plane in planes:
                    plane[position] = plane[position - 1]
                continue
            self._write(picture, planes, position, place)
            previous = picture.number

    def _write(self, picture: Picture, planes: tuple[Plane, ...], position: int, place: str) -> None:
        frame = picture.frame
        assert frame is not None
        if not self.writer.matches(frame):
            raise SourceError(
                f"{self._at(picture, place)}: the picture is {frame.width}x{frame.height}, expected "
                f"{self.index.format.width}x{self.index.format.height} as at the start; "
                "cut the file where its size changes"
            )
        self.writer.write(frame, planes, position)
        if frame.is_corrupt:
            self.counts["damaged"] = self.counts.get("damaged", 0) + 1

    def _count_repeated(self, picture: Picture, place: str) -> None:
        if self.damaged != "repeat" or picture.frame is None:
            remedy = "copy the file again" if picture.frame is None else "copy it again, or use --damaged repeat"
            raise SourceError(
                f"{self._at(picture, place)}: expected a picture, found none that decodes: "
                f"the file is damaged; {remedy}"
            )
        self.counts["repeated"] = self.counts.get("repeated", 0) + 1

    def _at(self, picture: Picture, place: str) -> str:
        pts = int(self.index.frame_pts[picture.number])
        seconds = float(pts * self.index.stream.time_base)
        return f"{self.index.uri}: {place}, source frame {picture.number} (pts {pts}, {seconds:.3f} s)"
