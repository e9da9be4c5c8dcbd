"""One output from many parts, by packets: nothing is decoded, nothing encoded, no seam.

Packets are read part by part and written with pts from the plan and dts computed over the whole;
other streams are merged in by time.  The file is made in scratch, read again packet by packet, and
only then put where the user wants it.
"""

import hashlib
import heapq
import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container.output import OutputContainer
from av.video.stream import VideoStream

from pipeline.carried import Timed, add_carried, tag_output
from pipeline.carry import CarryPlan
from pipeline.encode import pts_digest
from pipeline.encoders import MUXERS, container_of
from pipeline.matroska import write_aspect
from pipeline.part import EncodeSpec, Part
from pipeline.read_back import not_kept
from pipeline.scratch import held
from pipeline.source import quiet_decoders
from pipeline.stamps import Stamps, decode_stamps, rescaled
from pipeline.storage import Storage
from pipeline.storage_errors import NotFound
from pipeline.template import open_template
from pipeline.timeline import Timeline
from tasks.errors import StitchError

#: Encoders whose stream itself tells the sample aspect ratio.
_TELL_ASPECT = ("libx264", "libx265", "h264_nvenc", "hevc_nvenc")


@dataclass(frozen=True)
class Stitched:
    """The output as it was committed."""

    uri: str
    frames: int
    bytes: int
    sha256: str
    lines: tuple[str, ...]
    "What was not kept, or was converted on the way, in words for the report."


@dataclass(frozen=True)
class StitchRequest:
    """What becomes of the parts."""

    output_uri: str
    carry: CarryPlan
    voice: Path | None = None
    "The new audio, encoded for the whole: a local file."
    statement: str = ""
    "Written into the container's metadata where a task altered pictures."
    overwrite: bool = False


def stitch(
    storage: Storage,
    parts: Sequence[Part],
    timeline: Timeline,
    spec: EncodeSpec,
    request: StitchRequest,
    scratch: Path,
) -> Stitched:
    """The parts joined, checked and committed; none of its files stay in scratch.

    Raises:
        StitchError: parts are missing, altered, of other headers or other times; nothing is written.
        AlreadyThere: the output exists and `overwrite` is not set.
        StorageError: reading a part or the final write failed; nothing half-written is visible.
    """
    quiet_decoders()
    ordered = check_parts(parts, timeline)
    container = container_of(request.output_uri)
    path = scratch / f"output-{uuid.uuid4().hex[:12]}.{container}"
    with held(scratch):
        try:
            lines = _write(storage, ordered, timeline, spec, request, path, scratch)
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = path.stat().st_size
            storage.put_file(path, request.output_uri, create_only=not request.overwrite)
        except FileNotFoundError as error:
            raise NotFound(f"part {error.filename} is gone: another run of this job may have finished") from error
        finally:
            path.unlink(missing_ok=True)
    return Stitched(request.output_uri, len(timeline), size, digest, lines)


def check_parts(parts: Iterable[Part], timeline: Timeline) -> tuple[Part, ...]:
    """The parts in output order.

    Raises:
        StitchError: they do not cover the timeline once, or differ in headers or times from the plan.
    """
    ordered = tuple(sorted(parts, key=lambda p: p.start))
    at = 0
    for part in ordered:
        if part.start != at or part.end <= part.start:
            raise StitchError(f"part {part.uri}: found frames {part.start} to {part.end}, expected them from {at}")
        if part.pts_sha256 != pts_digest(timeline.pts[part.start : part.end]):
            raise StitchError(
                f"part {part.uri}: its times are not the plan's; delete it and run the same command again"
            )
        if part.extradata_sha256 != ordered[0].extradata_sha256:
            raise _other_headers(part, ordered[0])
        at = part.end
    if at != len(timeline):
        raise StitchError(f"parts end at frame {at}, expected {len(timeline)}; run the same command again")
    return ordered


def _write(
    storage: Storage,
    parts: tuple[Part, ...],
    timeline: Timeline,
    spec: EncodeSpec,
    request: StitchRequest,
    path: Path,
    scratch: Path,
) -> tuple[str, ...]:
    """The whole output at `path`, checked; what is to be said of it."""
    container = container_of(request.output_uri)
    options, muxer = _muxer_options(container, timeline), MUXERS[container]
    with ExitStack() as stack:
        first = stack.enter_context(_local_part(storage, parts[0], scratch))
        output = stack.enter_context(av.open(str(path), "w", format=muxer, options=options))
        stream = _add_picture_stream(output, first, spec, request.carry)
        # A nominal rate in the header would make players expect it of varying times.
        stream.codec_context.framerate = timeline.frame_rate or Fraction(0)
        # Players take a negative first pts for "not shown": such a timeline is moved as a whole.
        shift = max(Fraction(0), -int(timeline.pts[0]) * timeline.time_base)
        feeds = add_carried(output, storage, request.carry, request.voice, muxer, shift, stack)
        tag_output(output, stream, request.carry, request.statement, muxer, shift)
        output.start_encoding()
        time_base = stream.time_base
        assert time_base is not None
        edges = _edges(timeline, time_base, shift, request.output_uri)
        pictures = _picture_packets(storage, parts, stream, edges, scratch)
        for _, packet in heapq.merge(pictures, *(f.packets() for f in feeds), key=lambda timed: timed[0]):
            output.mux_one(packet)
        lines = (
            *_rounding(edges, timeline, time_base, container),
            *(line for f in feeds for line in f.lines()),
        )
    verify(path, edges[:-1], time_base)
    return (*request.carry.lines, *lines, *_aspect(path, spec, muxer), *not_kept(path, request.carry))


def _edges(timeline: Timeline, time_base: Fraction, shift: Fraction, output_uri: str) -> Stamps:
    """(n + 1,) the planned pts and the end in the output's ticks.

    Raises:
        StitchError: the container's clock is too coarse to tell two frames apart.
    """
    edges = rescaled(np.append(timeline.pts, timeline.end_pts), timeline.time_base, time_base)
    edges += rescaled(np.array([round(shift / timeline.time_base)]), timeline.time_base, time_base)
    if np.any(np.diff(edges[:-1]) <= 0):
        raise StitchError(f"{output_uri}: two frames fall on one tick of {time_base} s; name the output .mp4")
    return edges


def _aspect(path: Path, spec: EncodeSpec, muxer: str) -> tuple[str, ...]:
    """Nothing, or that the sample aspect ratio could not be written."""
    needed = muxer in ("matroska", "webm") and spec.sample_aspect_ratio != 1 and spec.encoder not in _TELL_ASPECT
    if not needed or write_aspect(path, spec.sample_aspect_ratio):
        return ()
    return (f"sample aspect ratio {spec.sample_aspect_ratio} dropped: the {muxer} header is not as expected",)


def _rounding(edges: Stamps, timeline: Timeline, time_base: Fraction, container: str) -> tuple[str, ...]:
    """What is said where the container's clock is too coarse for the plan's times."""
    steps, planned = (
        np.diff(edges) * time_base,
        np.diff(np.append(timeline.pts, timeline.end_pts)) * timeline.time_base,
    )
    if np.array_equal(steps, planned):
        return ()
    return (f"times rounded to {time_base} s, the clock of a .{container} file; .mp4 keeps them exactly",)


def _muxer_options(container: str, timeline: Timeline) -> dict[str, str]:
    """Exact ticks in mp4 and mov: those of the plan for the track, and for edit lists."""
    options = {"fflags": "+bitexact"}  # Else mkv and webm carry random numbers.
    if container in ("mp4", "mov"):
        ticks = str(min(timeline.time_base.denominator, (1 << 31) - 1))
        options |= {"movflags": "+faststart", "video_track_timescale": ticks, "movie_timescale": ticks}
    return options


def _add_picture_stream(output: OutputContainer, first: Path, spec: EncodeSpec, carry: CarryPlan) -> VideoStream:
    with open_template(first, carry.hdr) as part:
        # opaque: else PyAV looks for an encoder by the decoder's name.
        stream = output.add_stream_from_template(part.streams.video[0], opaque=True)
        context = stream.codec_context
        if spec.encoder == "prores_ks":  # Its tag is its profile; no other codec needs the part's.
            context.codec_tag = part.streams.video[0].codec_context.codec_tag
    context.colorspace, context.color_primaries = spec.colour.matrix, spec.colour.primaries
    context.color_trc, context.color_range = spec.colour.transfer, 2 if spec.colour.full_range else 1
    context.sample_aspect_ratio = spec.sample_aspect_ratio
    context.field_order = {"progressive": 1, "tff": 2, "bff": 3}[spec.field_order]
    if spec.codec_tag:
        context.codec_tag = spec.codec_tag
    stream.time_base = spec.time_base
    if carry.display_matrix is not None:
        stream.set_display_matrix(carry.display_matrix)
    return stream


@contextmanager
def _local_part(storage: Storage, part: Part, scratch: Path) -> Iterator[Path]:
    """A part as a local file, its bytes checked against its sidecar; a fetched one is deleted after use."""
    local = storage.local_path(part.uri)
    fetched = scratch / f"fetched-{uuid.uuid4().hex[:12]}"
    try:
        if local is None:
            with storage.open(part.uri) as source, fetched.open("wb") as target:
                shutil.copyfileobj(source, target, 8 << 20)
        path = local or fetched
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != part.sha256:
            raise StitchError(
                f"part {part.uri}: its bytes are not those that were written; delete it and run the same command again"
            )
        yield path
    finally:
        fetched.unlink(missing_ok=True)


def _picture_packets(
    storage: Storage, parts: tuple[Part, ...], stream: VideoStream, edges: Stamps, scratch: Path
) -> Iterator[Timed]:
    """Every packet of every part in decode order, stamped."""
    time_base = stream.time_base
    assert time_base is not None
    dts = decode_stamps(edges[:-1], max(p.reorder_frames for p in parts)).tolist()
    ticks, seconds = edges.tolist(), float(time_base)
    headers = None
    for part in parts:
        with _local_part(storage, part, scratch) as path, av.open(str(path)) as container:
            source = container.streams.video[0]
            found = source.codec_context.extradata
            headers = found if headers is None else headers
            if found != headers or part.extradata_sha256 != hashlib.sha256(found or b"").hexdigest():
                raise _other_headers(part, parts[0])
            at = part.start
            for packet in container.demux(source):
                if not packet.size:
                    continue
                frame = part.start + _rank(packet, part)
                packet.stream = stream
                packet.time_base = time_base
                packet.pts, packet.dts, packet.duration = (
                    ticks[frame],
                    dts[at],
                    ticks[frame + 1] - ticks[frame],
                )
                at += 1
                if at == len(dts):  # What the muxer adds to the last dts is how the track ends.
                    packet.duration = ticks[-1] - ticks[-2]
                yield packet.dts * seconds, packet
            if at != part.end:
                raise StitchError(f"part {part.uri}: found {at - part.start} packets, expected {part.end - part.start}")


def _rank(packet: "av.Packet[VideoStream]", part: Part) -> int:
    """Place of the packet's frame among the part's, in presentation order."""
    assert packet.pts is not None and packet.duration
    rank = packet.pts // packet.duration
    if not 0 <= rank < part.end - part.start:
        raise StitchError(f"part {part.uri}: found frame {rank}, expected 0 to {part.end - part.start - 1}")
    return rank


def _other_headers(part: Part, first: Part) -> StitchError:
    return StitchError(
        f"part {part.uri}: its encoder headers differ from those of {first.uri}; "
        "parts of one video must come from "
        "the same encoder and version; delete the parts and run the same command again"
    )


def verify(path: Path, pts: Stamps, time_base: Fraction) -> None:
    """Read the file again: each planned frame is there once, and decode times rise.

    Raises:
        StitchError: a frame is missing, doubled or at another time.
    """
    found, last = [], None
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.time_base != time_base:
            raise StitchError(f"{path.name}: found time base {stream.time_base}, expected {time_base}")
        for packet in container.demux(stream):
            if not packet.size:
                continue
            found.append(packet.pts)
            if packet.dts is not None and last is not None and packet.dts <= last:
                raise StitchError(f"{path.name}: decode times do not rise at pts {packet.pts}")
            last = packet.dts if packet.dts is not None else last
    if None in found or not np.array_equal(np.sort(np.array(found, dtype=np.int64)), pts):
        raise StitchError(
            f"{path.name}: the {len(found)} frames found are not the {len(pts)} planned, or not at their times"
        )
