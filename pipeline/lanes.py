"""How the packets of one carried stream become packets of the output: copied or converted; knows no plan.

A lane is given packets of its stream in order and answers with packets for the output.  `offset` is the
time on the source's clock that lies at output time 0, `end` where the stream is cut on that clock.
"""

from fractions import Fraction
from typing import Any, Protocol

import av
from av.audio.stream import AudioStream
from av.container.output import OutputContainer
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

from pipeline.audio import SoundEncoder, known_layout
from pipeline.samples import SampleClock

Packets = list["av.Packet[Any]"]


class Lane(Protocol):
    """One carried stream on its way."""

    out: Stream

    def take(self, packet: "av.Packet[Any]") -> Packets: ...

    def finish(self) -> Packets: ...

    def lines(self) -> tuple[str, ...]: ...


class CopyLane:
    """Payloads as they are, times moved.  Packets wholly before 0 go, but the one a decoder warms up on."""

    def __init__(
        self,
        source: Stream,
        out: Stream,
        offset: Fraction,
        end: Fraction | None,
        *,
        negative: bool,
        name: str,
    ) -> None:
        assert source.time_base is not None
        self.out, self._name, self._negative = out, name, negative
        self._time_base = source.time_base
        self._offset = round(offset / self._time_base)
        self._end = None if end is None else (end - offset) / self._time_base
        self._trimmed = offset > 0 or end is not None
        self._kind = source.type
        self._held: av.Packet[Any] | None = None
        self._moved = self._dropped = 0
        self._last: int | None = None

    def take(self, packet: "av.Packet[Any]") -> Packets:
        if packet.pts is None and packet.dts is None:
            self._dropped += 1
            return []
        pts = packet.pts if packet.pts is not None else packet.dts
        assert pts is not None
        dts = packet.dts if packet.dts is not None else pts
        packet.pts, packet.dts = pts - self._offset, dts - self._offset
        if self._end is not None and packet.pts >= self._end:
            return []
        if self._kind == "subtitle":
            return self._shown(packet)
        if packet.pts < 0 and self._trimmed and packet.pts + (packet.duration or 0) <= 0:
            self._held = packet if self._negative else None
            return []
        if packet.pts < 0 and not self._negative:
            return []
        ready = [self._held, packet] if self._held is not None else [packet]
        self._held = None
        return [self._rising(p) for p in ready]

    def finish(self) -> Packets:
        return []

    def lines(self) -> tuple[str, ...]:
        said = []
        if self._moved:
            said.append(f"{self._name}: {self._moved} packets with times that fell back were moved forwards")
        if self._dropped:
            said.append(f"{self._name}: {self._dropped} packets without a time were dropped")
        return tuple(said)

    def _shown(self, packet: "av.Packet[Any]") -> Packets:
        """A subtitle clipped to what is shown."""
        assert packet.pts is not None
        length = packet.duration or 0
        if packet.pts + length <= 0 and packet.pts < 0:
            return []
        begin = max(0, packet.pts)
        stop = packet.pts + length
        if self._end is not None:
            stop = min(stop, int(self._end))
        packet.duration = max(0, stop - begin)
        packet.pts = packet.dts = begin
        return [self._rising(packet)]

    def _rising(self, packet: "av.Packet[Any]") -> "av.Packet[Any]":
        """Muxers refuse times that do not rise; broken sources have them."""
        assert packet.pts is not None and packet.dts is not None
        if self._last is not None and packet.dts <= self._last:
            packet.dts = self._last + 1
            packet.pts = max(packet.pts, packet.dts)
            self._moved += 1
        if not packet.duration and self._kind == "audio" and self._last is not None:
            packet.duration = packet.dts - self._last  # mp4 would end the track before this packet.
        self._last = packet.dts
        packet.time_base = self._time_base
        packet.stream = self.out
        return packet


class SoundLane:
    """Audio decoded and encoded anew, cut to the sample."""

    def __init__(
        self,
        source: AudioStream,
        output: OutputContainer,
        encoder: str,
        offset: Fraction,
        end: Fraction | None,
        name: str,
    ) -> None:
        context = source.codec_context
        layout = known_layout(context.layout)
        self._decoder = context
        self._clock = SampleClock(context.sample_rate, layout, offset, end)
        self._encoder = SoundEncoder(output, encoder, context.sample_rate, layout)
        self.out: Stream = self._encoder.stream
        self._name, self._skipped = name, 0

    def take(self, packet: "av.Packet[Any]") -> Packets:
        if self._clock.full:
            return []
        try:
            frames = self._decoder.decode(packet)
        except av.error.InvalidDataError:
            self._skipped += 1
            return []
        return [p for frame in frames for block in self._clock.place(frame) for p in self._encoder.packets(block)]

    def finish(self) -> Packets:
        packets = [p for block in self._clock.rest() for p in self._encoder.packets(block)]
        return [*packets, *self._encoder.packets(None)]

    def lines(self) -> tuple[str, ...]:
        return (f"{self._name}: {self._skipped} damaged packets became silence",) if self._skipped else ()


class SubtitleLane:
    """Text subtitles written in another container's own way."""

    def __init__(
        self,
        source: SubtitleStream,
        output: OutputContainer,
        encoder: str,
        offset: Fraction,
        end: Fraction | None,
        name: str,
    ) -> None:
        decoder = source.codec_context
        assert isinstance(decoder, SubtitleCodecContext)
        decoder.open(strict=False)
        self._decoder = decoder
        out = output.add_stream(encoder)
        writer = out.codec_context
        assert isinstance(writer, SubtitleCodecContext)
        writer.subtitle_header = decoder.subtitle_header
        writer.time_base = Fraction(1, 1000)
        out.time_base = Fraction(1, 1000)
        self.out: Stream = out
        self._writer, self._name, self._skipped, self._last = writer, name, 0, -1
        self._copy = CopyLane(source, out, offset, end, negative=False, name=name)

    def take(self, packet: "av.Packet[Any]") -> Packets:
        try:
            shown = self._decoder.decode2(packet)
            if shown is None or not len(shown):
                return []
            return [self._written(p, self._writer.encode_subtitle(shown)) for p in self._copy.take(packet)]
        except av.FFmpegError:
            self._skipped += 1
            return []

    def finish(self) -> Packets:
        return []

    def lines(self) -> tuple[str, ...]:
        more = (f"{self._name}: {self._skipped} subtitles could not be converted",) if self._skipped else ()
        return (*self._copy.lines(), *more)

    def _written(self, old: "av.Packet[Any]", new: "av.Packet[Any]") -> "av.Packet[Any]":
        """The new payload with the old one's times."""
        new.pts, new.dts, new.duration = old.pts, old.dts, old.duration
        new.time_base, new.stream = old.time_base, self.out
        return new


class PictureLane(CopyLane):
    """A cover picture: one packet, at the start."""

    def take(self, packet: "av.Packet[Any]") -> Packets:
        if self._last is not None:
            return []
        packet.pts = packet.dts = 0
        return [self._rising(packet)]
