"""Makes the index of a source: which pictures it has, where and when, and whether it can be split.

An mp4 or mov is indexed without its payload; every other container is read through once and
never kept.  The first pictures are decoded, so that what cannot be decoded is refused here.
"""

import logging
from dataclasses import dataclass, replace
from fractions import Fraction
from io import RawIOBase
from typing import BinaryIO, cast

import av
import av.container
import numpy as np

from pipeline.boxes import BoxLayout, ZeroFilledReader, box_layout
from pipeline.clock import constant_rate, end_of_last, mean_rate, unwrapped
from pipeline.demux import PacketWalk, head_packets, mark_keyframes, walk_packets
from pipeline.exif import exif_orientation
from pipeline.first_look import FirstLook, look_at_first
from pipeline.formats import Conversion, colour_of, conversion_of, matrix_of, orientation_of
from pipeline.frame_table import (
    FrameTable,
    Table,
    keyframe_rows,
    tabulate_frames,
    too_long_between,
    with_exact_starts,
)
from pipeline.frames import all_frames
from pipeline.index import DURATION, INDEX_VERSION, NO_VALUE, POS, PTS, SIZE, SourceIdentity, SourceIndex
from pipeline.index_cache import load_index, store_index
from pipeline.inventory import chapters, choose_picture_stream, stream_infos
from pipeline.packets import RANGED_DECODERS, prepare_decoder, row_bytes
from pipeline.source import open_container, picture_stream
from pipeline.split import HEAD_BYTES, decoder_prefix, is_split_point
from pipeline.storage import Storage
from pipeline.storage_errors import AccessRefused, NotFound
from tasks.errors import SourceError
from tasks.picture import PictureFormat

log = logging.getLogger("reelyard")

#: Keyframes of an mp4 whose bytes are looked at; the others are checked when decoding starts there.
_SAMPLED_KEYFRAMES = 16
#: Bytes of an mp4's payload read for a look at its first pictures, where one is not larger.
_HEAD_BYTES = 1 << 20
#: Bytes at a picture file's start in which its Exif block is looked for.
_EXIF_BYTES = 1 << 20
_PICTURE_BRANDS = (b"avif", b"heic", b"heix", b"mif1")
_CLOCKS_THAT_START_ANYWHERE = ("mpegts", "mpeg")


Matrix = tuple[int, ...] | None


@dataclass(frozen=True)
class _Subject:
    """What is being indexed."""

    storage: Storage
    uri: str
    identity: SourceIdentity
    layout: BoxLayout | None
    "Where it is an mp4 or mov."

    @property
    def light(self) -> bool:
        """Whether the payload is left out."""
        return self.layout is not None and not self.layout.fragmented and self.layout.movie is not None

    def read(self, start: int, end: int) -> bytes:
        return self.storage.read_range(self.uri, start, end, self.identity)


def probe(storage: Storage, uri: str, *, cache_prefix: str | None = None) -> SourceIndex:
    """The index of the source at `uri`, kept under `cache_prefix` by the source's identity.

    Raises:
        SourceError: missing, not a video or picture, encrypted, cut short, or nothing in it decodes.
        StorageError: the store failed.
    """
    try:
        identity = storage.identity(uri)
    except (NotFound, AccessRefused) as error:
        raise SourceError(error.message) from error
    cached = f"{cache_prefix.rstrip('/')}/{identity.key}-{INDEX_VERSION}.npz" if cache_prefix else None
    if cached and (known := load_index(storage, cached, uri)) is not None:
        return known
    try:
        index = _index(storage, uri, identity)
    except av.error.FFmpegError as error:
        raise SourceError(f"{uri}: its container is damaged ({error.strerror}); use an intact copy") from error
    if cached:
        store_index(storage, cached, index)
    return index


def _index(storage: Storage, uri: str, identity: SourceIdentity) -> SourceIndex:
    def read(start: int, end: int) -> bytes:
        return storage.read_range(uri, start, end, identity)

    subject = _Subject(storage, uri, identity, box_layout(read, identity.size) if identity.size else None)
    if not subject.light and storage.local_path(uri) is None:
        log.info("%s: reading all %.0f MB once for its index", uri, identity.size / 1e6)
    reader: RawIOBase | None = None
    if subject.light and subject.layout is not None:
        reader = ZeroFilledReader(read, subject.layout)
    with open_container(storage, uri, identity, reader=cast(BinaryIO | None, reader)) as container:
        stream = choose_picture_stream(container, uri)
        walk = walk_packets(container, stream, uri, payload=not subject.light)
        _refuse_incomplete(subject, stream, walk)
        if subject.light:
            mark_keyframes(stream, walk)
            _look_into_payload(subject, stream, walk)
        look = look_at_first(uri, stream, walk)
        index, table = _assemble(subject, container, stream, walk, look)
        return replace(
            index,
            streams=stream_infos(container),
            chapters=chapters(container, subject.read),
            metadata=tuple(sorted(container.metadata.items())),
            codec_hdr=look.hdr,
            prefix=_prefix(stream, walk),
            dropped=_dropped(stream, look, table),
        )


def _refuse_incomplete(subject: _Subject, stream: "av.VideoStream", walk: PacketWalk) -> None:
    found, expected = len(walk), len(stream.index_entries) if subject.light else 0
    if not found and not expected:
        raise SourceError(f"{subject.uri}: its video stream holds no picture; record or copy it again")
    if found < expected:
        raise SourceError(
            f"{subject.uri}: its index promises {expected} pictures, the file holds {found}; "
            "it was cut short while copied: copy it again"
        )


def _look_into_payload(subject: _Subject, stream: "av.VideoStream", walk: PacketWalk) -> None:
    """What the walk over zeros could not see: a sample of the keyframes, and the first packets."""
    packets, context = walk.packets, stream.codec_context
    walk.exact = _exact_starts(subject, context.codec.canonical_name, context.extradata or b"", packets)
    first = walk.exact[0] if walk.exact else 0
    last = min(len(packets), first + head_packets(context.width, context.height)) - 1
    ends = np.maximum.accumulate(packets[first : last + 1, POS] + packets[first : last + 1, SIZE])
    fitting = int(np.searchsorted(ends, packets[first, POS] + _HEAD_BYTES))
    last = first + max(1, fitting) - 1
    walk.head = {row: bytes(data) for row, data in row_bytes(subject.read, packets, first, last, _HEAD_BYTES)}


def _exact_starts(subject: _Subject, codec: str, extradata: bytes, packets: Table) -> list[int]:
    """Rows of keyframes; where a sampled one is no exact start, only of those sampled that are."""
    keyframes = keyframe_rows(packets)
    if codec not in ("h264", "hevc") or not len(keyframes):
        return cast(list[int], keyframes.tolist())
    sample = keyframes[np.unique(np.linspace(0, len(keyframes) - 1, _SAMPLED_KEYFRAMES).astype(int))]
    good = []
    for row in sample.tolist():
        pos, size = int(packets[row, POS]), int(packets[row, SIZE])
        if is_split_point(codec, extradata, subject.read(pos, pos + min(size, HEAD_BYTES))):
            good.append(row)
    return cast(list[int], keyframes.tolist()) if len(good) == len(sample) else good


def _assemble(
    subject: _Subject,
    container: "av.container.InputContainer",
    stream: "av.VideoStream",
    walk: PacketWalk,
    look: FirstLook,
) -> tuple[SourceIndex, FrameTable]:
    """The index as far as the picture stream goes."""
    info, name = stream_infos(container)[stream.index], container.format.name
    base = info.time_base
    packets = with_exact_starts(walk.packets, walk.exact)
    table = tabulate_frames(packets, walk.hidden, look.rows, look.fed)
    if not len(table.frame_packets):
        raise SourceError(f"{subject.uri}: it shows no picture (all are cut away by its edit list); copy it again")
    pts, rows, end = _times(subject, stream, packets, table, base)
    rate = constant_rate(pts, base, (stream.guessed_rate, stream.average_rate, stream.base_rate))
    mode, reason = _mode(table, pts, end, base)
    still = len(pts) == 1 and _is_picture_file(subject, name, stream)
    matrix = look.display_matrix if not still else matrix_of(exif_orientation(subject.read(0, _EXIF_BYTES)))
    conversion = conversion_of(look.frame.format.name, flat=still or name == "gif")
    index = SourceIndex(
        uri=subject.uri,
        identity=subject.identity,
        container=name,
        mode=mode,
        reason=reason,
        stream=info,
        extradata=bytes(stream.codec_context.extradata or b""),
        format=_format(stream, look, conversion, matrix),
        decoded_pixel_format=look.frame.format.name,
        conversion=conversion.reason,
        display_matrix=matrix,
        packets=packets,
        frame_pts=pts,
        frame_packets=rows,
        end_pts=end,
        split_points=table.split_points,
        average_rate=rate or mean_rate(pts, end, base),
        variable_rate=rate is None,
        origin_seconds=_origin(container, name, pts, base),
        ranged=_is_ranged(subject, info.codec, walk, table),
        still=still,
    )
    return index, table


def _times(
    subject: _Subject, stream: "av.VideoStream", packets: Table, table: FrameTable, base: Fraction
) -> tuple[Table, Table, int]:
    """pts of each frame, row of each frame, end of the last."""
    hint = stream.guessed_rate or stream.average_rate
    gap = max(1, round(1 / (hint * base))) if hint else 1
    if not table.irregular:
        pts = packets[table.frame_packets, PTS]
        return (
            pts,
            table.frame_packets,
            end_of_last(pts, int(packets[table.frame_packets[-1], DURATION]), gap),
        )
    pts = _count_by_decoding(subject, stream.index, gap)
    return pts, np.full(len(pts), -1, np.int64), end_of_last(pts, 0, gap)


def _count_by_decoding(subject: _Subject, number: int, gap: int) -> Table:
    """pts of every frame that decoding from the start gives: the truth where packets do not tell."""
    with open_container(subject.storage, subject.uri, subject.identity) as container:
        stream = picture_stream(container, number)
        prepare_decoder(stream.codec_context, stream.codec_context.codec.canonical_name, 1)
        times = [frame.pts for frame in all_frames(container, stream)]
    if not times:
        raise SourceError(f"{subject.uri}: none of its pictures decodes; it is damaged: use an intact copy")
    return unwrapped(times, gap)


def _mode(table: FrameTable, pts: Table, end: int, base: Fraction) -> tuple[str, str]:
    if table.irregular:
        return "linear", table.irregular
    seconds = too_long_between(table.split_points, pts, end, base)
    if seconds is not None:
        return "linear", f"no exact start for {seconds:.0f} s (a single keyframe, or periodic intra-refresh)"
    return "random", ""


def _prefix(stream: "av.VideoStream", walk: PacketWalk) -> bytes:
    context, first = stream.codec_context, next(iter(walk.head.values()), b"")
    return decoder_prefix(context.codec.canonical_name, context.extradata or b"", first)


def _is_picture_file(subject: _Subject, name: str, stream: "av.VideoStream") -> bool:
    if subject.layout is not None:
        marked = bool(stream.disposition & av.stream.Disposition.still_image)
        return marked or subject.read(8, 12) in _PICTURE_BRANDS
    return name in ("gif", "apng", "webp", "jpegxl_anim") or (name.endswith("_pipe") and name != "yuv4mpegpipe")


def _is_ranged(subject: _Subject, codec: str, walk: PacketWalk, table: FrameTable) -> bool:
    placed = bool(np.all(walk.packets[:, POS] != NO_VALUE))
    known = codec in RANGED_DECODERS and not walk.new_parameters and not table.irregular
    return subject.layout is not None and placed and known


def _format(stream: "av.VideoStream", look: FirstLook, conversion: Conversion, matrix: Matrix) -> PictureFormat:
    return PictureFormat(
        layout=conversion.layout,
        width=look.frame.width,
        height=look.frame.height,
        colour=colour_of(look.frame, conversion, look.tags),
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        orientation=orientation_of(matrix),
        field_order=look.field_order,
    )


def _origin(container: "av.container.InputContainer", name: str, pts: Table, base: Fraction) -> Fraction:
    if name not in _CLOCKS_THAT_START_ANYWHERE:
        return Fraction(0)
    starts = [s.start_time * s.time_base for s in container.streams if s.start_time is not None and s.time_base]
    return min([*starts, int(pts[0]) * base])


def _dropped(stream: "av.VideoStream", look: FirstLook, table: FrameTable) -> tuple[str, ...]:
    lines = [*look.lost]
    if look.transparent or stream.metadata.get("alpha_mode") == "1":
        lines.append("alpha (transparency)")
    if table.undecodable and not table.irregular:
        lines.append(f"{table.undecodable} pictures before the first keyframe, which cannot be decoded")
    return tuple(lines)
