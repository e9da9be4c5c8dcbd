"""Does what a `CarryPlan` says: opens the source beside the pictures and feeds the output from it."""

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.container.output import OutputContainer
from av.stream import AttachmentStream, Disposition, Stream
from av.subtitles.stream import SubtitleStream
from av.video.stream import VideoStream

from pipeline.carry import CarriedStream, CarryPlan
from pipeline.lanes import CopyLane, Lane, PictureLane, SoundLane, SubtitleLane
from pipeline.source import open_container
from pipeline.storage import Storage
from tasks.errors import SourceError

#: Seconds at which a packet is decoded, and the packet, ready for the output.
Timed = tuple[float, "av.Packet[Any]"]

#: QuickTime's words for languages whose ISO 639-2 code it does not know.
_QUICKTIME_LANGUAGES = {
    "deu": "ger",
    "nld": "dut",
    "swe": "sve",
    "ell": "gre",
    "isl": "ice",
    "zho": "chi",
    "ron": "rum",
    "ces": "cze",
    "slk": "slo",
}
_KINDS = {"image/jpeg": ("mjpeg", "cover.jpg"), "image/png": ("png", "cover.png")}


class Feed:
    """One open input and the lanes its packets take."""

    def __init__(self, container: InputContainer, lanes: dict[int, Lane]) -> None:
        self._container, self._lanes = container, lanes

    def packets(self) -> Iterator[Timed]:
        """Every packet for the output, in the input's order.

        Raises:
            SourceError: the input cannot be read to its end.
        """
        if not self._lanes:
            return
        streams = [self._container.streams[number] for number in self._lanes]
        try:
            for packet in self._container.demux(streams):
                if packet.size:
                    yield from map(_timed, self._lanes[packet.stream_index].take(packet))
        except av.FFmpegError as error:
            raise SourceError(f"{self._container.name}: streams beside the pictures cannot be read: {error}") from error
        for lane in self._lanes.values():
            yield from map(_timed, lane.finish())

    def lines(self) -> tuple[str, ...]:
        """What happened on the way, in words for the report."""
        return tuple(line for lane in self._lanes.values() for line in lane.lines())


def add_carried(
    output: OutputContainer,
    storage: Storage,
    plan: CarryPlan,
    voice: Path | None,
    muxer: str,
    shift: Fraction,
    stack: ExitStack,
) -> list[Feed]:
    """The voice and all carried streams added to the output, in that order, before its header is written.

    `shift` is what the whole output is moved by; `stack` closes what is opened here.
    """
    feeds = []
    if voice is not None:
        feeds.append(_voice_feed(output, voice, shift, muxer, stack))
    if plan.streams:
        container = stack.enter_context(open_container(storage, plan.source))
        lanes = {}
        for stream in plan.streams:
            lane = _lane(output, container, stream, plan, muxer, shift)
            if lane is not None:
                lanes[stream.number] = lane
        feeds.append(Feed(container, lanes))
    return feeds


def tag_output(
    output: OutputContainer,
    picture: VideoStream,
    plan: CarryPlan,
    statement: str,
    muxer: str,
    shift: Fraction,
) -> None:
    """Metadata, chapters and the statement about altered pictures, before the header is written."""
    if plan.picture is not None:
        _tag(picture, plan.picture, muxer)
    output.metadata.update(dict(plan.metadata))
    if statement:
        comment = next((v for k, v in plan.metadata if k.lower() == "comment"), "")
        key = next((k for k, _ in plan.metadata if k.lower() == "comment"), "comment")
        output.metadata[key] = f"{comment} | {statement}" if comment else statement
    if plan.chapters:
        ticks = 1000
        output.set_chapters(
            [
                {
                    "id": i + 1,
                    "start": round((c.start_seconds + shift) * ticks),
                    "end": round((c.end_seconds + shift) * ticks),
                    "time_base": Fraction(1, ticks),
                    "metadata": {"title": c.title} if c.title else {},
                }
                for i, c in enumerate(plan.chapters)
            ]
        )


def _voice_feed(output: OutputContainer, voice: Path, shift: Fraction, muxer: str, stack: ExitStack) -> Feed:
    container = stack.enter_context(av.open(str(voice)))
    source = container.streams.audio[0]
    out = output.add_stream_from_template(source, opaque=True)
    out.disposition = Disposition.default
    lane = CopyLane(source, out, -shift, None, negative=True, name="new audio")
    return Feed(container, {source.index: lane})


def _lane(
    output: OutputContainer,
    container: InputContainer,
    stream: CarriedStream,
    plan: CarryPlan,
    muxer: str,
    shift: Fraction,
) -> Lane | None:
    """The stream added to the output; None where nothing is left to be fed."""
    source = container.streams[stream.number]
    name = f"{stream.kind} stream #{stream.number}"
    offset = plan.start_seconds - shift
    end = plan.end_seconds
    if isinstance(source, AttachmentStream):
        output.add_attachment(source.name or "attachment", source.mimetype or "application/octet-stream", source.data)
        return None
    if isinstance(source, VideoStream) and muxer == "matroska":
        _attach_cover(output, container, source)
        return None
    lane = _made(output, source, stream, offset, end, name, muxer)
    _tag(lane.out, stream, muxer)
    return lane


def _made(
    output: OutputContainer,
    source: Stream,
    stream: CarriedStream,
    offset: Fraction,
    end: Fraction | None,
    name: str,
    muxer: str,
) -> Lane:
    if stream.how != "copy" and isinstance(source, AudioStream):
        return SoundLane(source, output, stream.how, offset, end, name)
    if stream.how != "copy" and isinstance(source, SubtitleStream):
        return SubtitleLane(source, output, stream.how, offset, end, name)
    out = output.add_stream_from_template(source, opaque=True)
    if isinstance(source, VideoStream):
        return PictureLane(source, out, offset, end, negative=False, name=name)
    # mp4 hides what lies before 0 by an edit list; Matroska by the priming in its header, if there is one.
    told = isinstance(source, AudioStream) and bool(source.codec_context.delay)
    return CopyLane(source, out, offset, end, negative=muxer in ("mp4", "mov") or told, name=name)


def _attach_cover(output: OutputContainer, container: InputContainer, source: VideoStream) -> None:
    """A cover picture as Matroska keeps it: an attachment."""
    codec = source.codec_context.codec.canonical_name
    kind = next(((mime, file) for mime, (name, file) in _KINDS.items() if name == codec), None)
    packet = next((p for p in container.demux(source) if p.size), None)
    container.seek(0)
    if kind is not None and packet is not None:
        output.add_attachment(kind[1], kind[0], bytes(packet))


def _tag(out: Stream, stream: CarriedStream, muxer: str) -> None:
    if stream.language:
        language = stream.language
        out.metadata["language"] = _QUICKTIME_LANGUAGES.get(language, language) if muxer == "mov" else language
    if stream.title:
        out.metadata["title"] = stream.title
    out.disposition = Disposition(stream.disposition)


def _timed(packet: "av.Packet[Any]") -> Timed:
    assert packet.dts is not None
    return float(packet.dts * packet.time_base), packet
