"""What goes over from the source beside its pictures, decided before any work; pure, reads no file.

Rules: a new voice replaces the main audio (the one marked default, else the first), all other streams
go over.  A stream is copied by packets where the output's container holds its codec, converted where
it does not (audio to AAC or Opus, text subtitles to the container's own), else dropped by name.  A
timeline that loops or runs backwards carries none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from pipeline.hdr import Hdr10, parse_hdr10
from pipeline.index import Chapter, SourceIndex, StreamInfo
from pipeline.timeline import Timeline

_DEFAULT, _ATTACHED_PICTURE = 1, 1 << 10

_PCM = ("pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_u8")
#: Audio codecs that players find in each container.
AUDIO_HELD: Mapping[str, tuple[str, ...]] = {
    "mp4": ("aac", "mp3", "mp2", "ac3", "eac3", "dts", "alac", "flac", "opus"),
    "mov": ("aac", "mp3", "ac3", "eac3", "alac", *_PCM, "pcm_s16be", "pcm_s24be"),
    "mkv": ("aac", "mp3", "mp2", "ac3", "eac3", "dts", "truehd", "alac", "flac", "opus", "vorbis", *_PCM),
    "webm": ("opus", "vorbis"),
}
#: Encoder for audio that a container does not hold.
AUDIO_ENCODER = {"mp4": "aac", "mov": "aac", "mkv": "aac", "webm": "libopus"}

_TEXT = ("mov_text", "subrip", "ass", "ssa", "webvtt", "text")
_SUBTITLES_HELD: Mapping[str, tuple[str, ...]] = {
    "mp4": ("mov_text", "dvd_subtitle"),
    "mov": ("mov_text",),
    "mkv": ("subrip", "ass", "ssa", "webvtt", "text", "dvd_subtitle", "hdmv_pgs_subtitle", "dvb_subtitle"),
    "webm": ("webvtt",),
}
_SUBTITLE_ENCODER = {"mp4": "mov_text", "mov": "mov_text", "mkv": "subrip", "webm": "webvtt"}

#: Container facts that a muxer writes itself.
_NOT_METADATA = ("encoder", "major_brand", "minor_version", "compatible_brands", "duration")


@dataclass(frozen=True)
class CarriedStream:
    """A stream of the source that goes over, and how."""

    number: int
    kind: str
    codec: str
    how: str = "copy"
    "copy, or the encoder that it is converted by."
    language: str = ""
    title: str = ""
    disposition: int = 0


@dataclass(frozen=True)
class CarryPlan:
    """All that goes over."""

    source: str = ""
    streams: tuple[CarriedStream, ...] = ()
    chapters: tuple[Chapter, ...] = ()
    "In output time, clipped."
    metadata: tuple[tuple[str, str], ...] = ()
    start_seconds: Fraction = Fraction(0)
    "Time on the source's clock that lies at output time 0."
    end_seconds: Fraction | None = None
    "Time on the source's clock where streams are cut; None: to their end."
    display_matrix: tuple[int, ...] | None = None
    hdr: Hdr10 = field(default_factory=Hdr10)
    picture: CarriedStream | None = None
    "Language, title and disposition of the picture stream."
    lines: tuple[str, ...] = ()
    "What is replaced, converted or dropped, in words for the report."


def plan_carry(
    index: SourceIndex, timeline: Timeline, container: str, *, new_audio: bool, bake_rotation: bool = False
) -> CarryPlan:
    """What goes over from the source into a `container` (mp4, mov, mkv, webm) on this timeline."""
    main = main_audio(index.streams) if new_audio else None
    streams, lines = [], [f"{what} dropped" for what in index.dropped]
    for stream in index.streams:
        if stream.number == index.stream.number or _is_chapter_track(stream, index):
            continue
        carried, line = _fate(stream, timeline, container, replaced=stream is main)
        if carried is not None:
            keeps_default = not (new_audio and carried.kind == "audio")
            streams.append(carried if keeps_default else replace(carried, disposition=carried.disposition & ~_DEFAULT))
        if line:
            lines.append(line)
    start = index.origin_seconds + timeline.audio_start_seconds
    end = _end(index, timeline, start)
    chapters = _clipped(index.chapters, start, timeline.duration_seconds) if timeline.carries_streams else ()
    if index.chapters and not timeline.carries_streams:
        lines.append(f"{len(index.chapters)} chapters dropped: the video is drawn out to the audio's length")
    return CarryPlan(
        source=index.uri,
        streams=tuple(streams),
        chapters=chapters,
        metadata=tuple((k, v) for k, v in index.metadata if k.lower() not in _NOT_METADATA),
        start_seconds=start,
        end_seconds=end,
        display_matrix=None if bake_rotation else index.display_matrix,
        hdr=parse_hdr10(index.codec_hdr),
        picture=_carried(index.stream, "copy"),
        lines=tuple(lines),
    )


def main_audio(streams: tuple[StreamInfo, ...]) -> StreamInfo | None:
    """The audio marked default, else the first, None without audio: what a player plays unasked."""
    audio = [s for s in streams if s.kind == "audio"]
    return next((s for s in audio if s.disposition & _DEFAULT), audio[0] if audio else None)


def _fate(
    stream: StreamInfo, timeline: Timeline, container: str, *, replaced: bool
) -> tuple[CarriedStream | None, str]:
    """How a stream goes over, and what the report says of it."""
    name = _name(stream)
    if replaced:
        return None, f"{name} replaced by the new audio"
    if not stream.codec and stream.kind != "attachment":
        return None, f"{name} dropped: its codec is not known here"
    if not timeline.carries_streams and stream.kind != "attachment":
        return None, f"{name} dropped: the video is drawn out to the audio's length"
    if stream.kind == "audio":
        if stream.codec in AUDIO_HELD[container]:
            return _carried(stream, "copy"), ""
        encoder = AUDIO_ENCODER[container]
        return _carried(stream, encoder), f"{name} converted by {encoder}: .{container} does not hold {stream.codec}"
    if stream.kind == "subtitle":
        return _subtitle(stream, container, name)
    if stream.disposition & _ATTACHED_PICTURE and container != "webm":
        return _carried(stream, "copy"), ""
    if stream.kind == "attachment" and container == "mkv":
        return _carried(stream, "copy"), ""
    return None, f"{name} dropped: .{container} files made here hold one video, audio, subtitles and chapters"


def _is_chapter_track(stream: StreamInfo, index: SourceIndex) -> bool:
    """Whether it is QuickTime's text track of the chapters, which go over as chapters."""
    return bool(index.chapters) and stream.kind == "data" and not stream.codec and "mov" in index.container


def _subtitle(stream: StreamInfo, container: str, name: str) -> tuple[CarriedStream | None, str]:
    if stream.codec in _SUBTITLES_HELD[container]:
        return _carried(stream, "copy"), ""
    if stream.codec not in _TEXT:
        return None, f"{name} dropped: .{container} does not hold {stream.codec}; an .mkv output may"
    encoder = _SUBTITLE_ENCODER[container]
    return _carried(stream, encoder), f"{name} converted to {encoder}, styles may be simplified"


def _carried(stream: StreamInfo, how: str) -> CarriedStream:
    return CarriedStream(
        stream.number, stream.kind, stream.codec, how, stream.language, stream.title, stream.disposition
    )


def _name(stream: StreamInfo) -> str:
    words = ", ".join(w for w in (stream.codec, stream.language) if w)
    return f"{stream.kind} stream #{stream.number}" + (f" ({words})" if words else "")


def _end(index: SourceIndex, timeline: Timeline, start: Fraction) -> Fraction | None:
    """Where carried streams are cut: at the trim, or where a shorter voice ends the pictures."""
    ends = []
    if timeline.audio_end_seconds is not None:
        ends.append(index.origin_seconds + timeline.audio_end_seconds)
    if "cut" in timeline.kind.split("+"):
        ends.append(start + timeline.duration_seconds)
    return min(ends) if ends else None


def _clipped(chapters: tuple[Chapter, ...], start: Fraction, duration: Fraction) -> tuple[Chapter, ...]:
    moved = (
        Chapter(max(Fraction(0), c.start_seconds - start), min(duration, c.end_seconds - start), c.title)
        for c in chapters
    )
    return tuple(c for c in moved if c.start_seconds < c.end_seconds)
