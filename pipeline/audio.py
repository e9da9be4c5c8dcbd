"""Sound of any file: its exact length, its samples in blocks, and one encoding for a whole output.

The stream taken is the default one, else the first.  Time 0 is where the file starts: a voice inside
a video keeps its place after the video's first frame.  Damaged packets are skipped, counted and heard
as silence.  Digital silence is sound like any other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container.input import InputContainer
from av.container.output import OutputContainer

from pipeline.carry import AUDIO_ENCODER, AUDIO_HELD
from pipeline.samples import Block, SampleClock, sound_frame
from pipeline.source import open_container
from pipeline.storage import Storage
from tasks.errors import SourceError, StitchError

_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)
_AAC_LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1", "7.1")
_BITS_PER_CHANNEL = {"aac": 96_000, "libopus": 64_000}
#: Intermediate files of the voice: one that keeps sample times for what the container will hold.
_VOICE_MUXERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}


@dataclass(frozen=True)
class AudioFacts:
    """A file's sound, as decoding the whole of it showed."""

    uri: str
    codec: str
    sample_rate: int
    channels: int
    layout: str
    samples: int
    skipped_packets: int = 0
    "Damaged ones; each is silence."

    @property
    def duration_seconds(self) -> Fraction:
        return Fraction(self.samples, self.sample_rate)


@dataclass(frozen=True)
class EncodedAudio:
    """The whole new audio in one local file, ready to be stitched in."""

    path: Path
    codec: str
    copied: bool
    "True where the file's own packets were taken."
    samples: int
    sample_rate: int
    lines: tuple[str, ...] = ()


def open_audio(storage: Storage, uri: str) -> AudioFacts:
    """The sound of a file or stream, decoded once from end to end.

    Raises:
        SourceError: no sound in it, none that decodes, or of zero length.
    """
    with _Sound(storage, uri) as sound:
        samples = sum(block.shape[1] for block in sound.blocks())
        return sound.facts(samples)


def audio_blocks(
    storage: Storage,
    uri: str,
    *,
    rate: int = 16000,
    mono: bool = True,
    layout: str | None = None,
    block_seconds: float = 10.0,
) -> Iterator[Block]:
    """The sound as float32 blocks, (n,) mono or (n, channels) of its own layout or of another.

    Together they are round(length * rate) samples.

    Blocks are `block_seconds` long but the last; the samples do not depend on it.
    """
    with _Sound(storage, uri) as sound:
        pieces = _resampled(sound, layout or ("mono" if mono else sound.layout), rate)
        yield from (_shaped(b, mono) for b in _reblocked(pieces, max(1, round(block_seconds * rate))))


def encode_audio(
    storage: Storage, uri: str, container: str, path: Path, *, seconds: Fraction | None = None
) -> EncodedAudio:
    """The sound encoded once for the whole of a `container` output, or copied where that is possible.

    `seconds`: cut, or drawn out with silence, to this length; None keeps its own.

    Raises:
        SourceError: as `open_audio`.
        StitchError: the encoder failed.
    """
    facts = open_audio(storage, uri)
    fits = seconds is None or abs(seconds - facts.duration_seconds) * facts.sample_rate < 1
    if fits and facts.skipped_packets == 0 and facts.codec in AUDIO_HELD[container]:
        copied = _copied(storage, facts, container, path)
        if copied is not None:
            return copied
    target = facts.samples if seconds is None else max(1, round(seconds * facts.sample_rate))
    return _encoded(storage, facts, container, path, target)


class _Sound:
    """An open file and its sound."""

    def __init__(self, storage: Storage, uri: str) -> None:
        self.uri, self.skipped = uri, 0
        self._container = open_container(storage, uri)
        try:
            self.stream = audio_stream(self._container, uri)
            context = self.stream.codec_context
            self.rate, self.layout = context.sample_rate, known_layout(context.layout)
            self.codec = context.codec.canonical_name
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self._container.close()

    def blocks(self) -> Iterator[Block]:
        """Every sample of the stream, from the file's first moment."""
        clock = SampleClock(self.rate, self.layout, _file_start(self._container, self.stream))
        for frame in self._frames():
            yield from clock.place(frame)
        yield from clock.rest()

    def facts(self, samples: int) -> AudioFacts:
        if samples == 0:
            raise SourceError(
                f"{self.uri}: its audio ({self.codec}) has zero length or does not decode; expected sound; "
                "convert it to WAV, or choose another file"
            )
        channels = len(av.AudioLayout(self.layout).channels)
        return AudioFacts(self.uri, self.codec, self.rate, channels, self.layout, samples, self.skipped)

    def _frames(self) -> "Iterator[av.AudioFrame]":
        try:
            for packet in self._container.demux(self.stream):
                try:
                    yield from packet.decode()
                except av.error.InvalidDataError:
                    self.skipped += 1
        except av.error.EOFError:
            return
        except av.FFmpegError as error:
            raise SourceError(f"{self.uri}: its audio cannot be read to the end: {error}; repair the file") from error


def audio_stream(container: InputContainer, uri: str) -> AudioStream:
    """The default audio stream, else the first.

    Raises:
        SourceError: there is none, or no decoder for it.
    """
    streams = container.streams.audio
    if not streams:
        found = ", ".join(s.type for s in container.streams) or "nothing"
        raise SourceError(f"{uri}: found no audio ({found}); expected sound; choose another file")
    chosen = next((s for s in streams if s.disposition & av.stream.Disposition.default), streams[0])
    if chosen.codec_context is None or not chosen.codec_context.sample_rate:
        raise SourceError(f"{uri}: its audio codec is not known here; convert it to WAV")
    return chosen


def _file_start(container: InputContainer, stream: AudioStream) -> Fraction:
    """When the file starts, on the stream's clock: a voice later than its pictures stays later."""
    own = stream.start_time * stream.time_base if stream.start_time is not None and stream.time_base else Fraction(0)
    starts = [
        s.start_time * s.time_base
        for s in container.streams.video
        if s.start_time is not None and s.time_base and not s.disposition & av.stream.Disposition.attached_pic
    ]
    return min([own, *starts])


def known_layout(layout: "av.AudioLayout") -> str:
    """A name for the layout; files that give only a number of channels get the usual one."""
    usual = {1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 8: "7.1"}
    return usual.get(layout.nb_channels, "mono") if layout.name.endswith("channels") else layout.name


def _resampled(sound: _Sound, layout: str, rate: int) -> Iterator[Block]:
    """Blocks at another rate and layout, together exactly round(samples * rate / source rate) long."""
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate)
    fed = given = 0
    for block in sound.blocks():
        frame = sound_frame(block, sound.layout, sound.rate, fed)
        fed += block.shape[1]
        for out in resampler.resample(frame):
            given += out.samples
            yield _array(out)
    sound.facts(fed)
    tail = [_array(f) for f in resampler.resample(None)]
    missing = (2 * fed * rate + sound.rate) // (2 * sound.rate) - given
    silence = np.zeros((len(av.AudioLayout(layout).channels), max(0, missing)), np.float32)
    yield np.concatenate([*tail, silence], axis=1)[:, : max(0, missing)]


def _array(frame: "av.AudioFrame") -> Block:
    return np.asarray(frame.to_ndarray(), np.float32)


def _reblocked(pieces: Iterator[Block], size: int) -> Iterator[Block]:
    """The same samples in blocks of `size`; the last may be shorter."""
    held: list[Block] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += piece.shape[1]
        if count >= size:
            joined = np.concatenate(held, axis=1)
            whole = count - count % size
            yield from (joined[:, a : a + size] for a in range(0, whole, size))
            held, count = [joined[:, whole:]], count - whole
    if count:
        yield np.concatenate(held, axis=1)


def _shaped(block: Block, mono: bool) -> Block:
    return np.ascontiguousarray(block[0] if mono else block.T)


def _encoded(storage: Storage, facts: AudioFacts, container: str, path: Path, target: int) -> EncodedAudio:
    name = AUDIO_ENCODER[container]
    with _Sound(storage, facts.uri) as sound, _voice_file(path, container) as output:
        encoder = SoundEncoder(output, name, facts.sample_rate, facts.layout)
        for block in sound.blocks():
            encoder.write(block[:, : target - encoder.count])
            if encoder.count >= target:
                break
        second = np.zeros((facts.channels, facts.sample_rate), np.float32)
        while encoder.count < target:
            encoder.write(second[:, : target - encoder.count])
        encoder.finish()
    lines = []
    if facts.skipped_packets:
        lines.append(f"{facts.skipped_packets} damaged packets of {facts.uri} became silence")
    if encoder.rate != facts.sample_rate:
        lines.append(f"audio resampled from {facts.sample_rate} to {encoder.rate} Hz, as {name} demands")
    if encoder.layout != facts.layout:
        lines.append(f"audio channels changed from {facts.layout} to {encoder.layout}, as {name} demands")
    return EncodedAudio(path, "opus" if name == "libopus" else name, False, target, facts.sample_rate, tuple(lines))


class SoundEncoder:
    """Blocks of sound into a stream of an output file; the clock runs from the first sample on."""

    def __init__(self, output: OutputContainer, name: str, rate: int, layout: str) -> None:
        self.rate, self.layout = _encodable(name, rate, layout)
        self._source = (layout, rate)
        stream = output.add_stream(name, rate=self.rate)
        assert isinstance(stream, AudioStream)
        stream.layout = self.layout
        stream.time_base = stream.codec_context.time_base = Fraction(1, self.rate)
        channels = len(av.AudioLayout(self.layout).channels)
        stream.bit_rate = _BITS_PER_CHANNEL[name] * channels
        self._resampler = av.AudioResampler(format=stream.codec_context.format, layout=self.layout, rate=self.rate)
        self.stream, self._output, self.count = stream, output, 0

    def write(self, block: Block) -> None:
        if block.shape[1]:
            for packet in self.packets(block):
                self._output.mux_one(packet)

    def finish(self) -> None:
        for packet in self.packets(None):
            self._output.mux_one(packet)

    def packets(self, block: Block | None) -> "list[av.Packet[AudioStream]]":
        """Encoded packets of the block; of what is left for None."""
        frame = None
        if block is not None:
            frame = sound_frame(block, self._source[0], self._source[1], self.count)
            self.count += block.shape[1]
        try:
            packets = [p for f in self._resampler.resample(frame) for p in self.stream.encode(f)]
            return packets if block is not None else [*packets, *self.stream.encode(None)]
        except av.FFmpegError as error:
            raise StitchError(f"audio encoder {self.stream.name} failed: {error}") from error


def _encodable(name: str, rate: int, layout: str) -> tuple[int, str]:
    """The nearest rate and layout that the encoder takes."""
    channels = len(av.AudioLayout(layout).channels)
    if layout not in _AAC_LAYOUTS:
        layout = "mono" if channels == 1 else "stereo"
    if name == "libopus":
        return 48000, layout if layout in ("mono", "stereo", "5.1", "7.1") else "stereo"
    return (rate if rate in _AAC_RATES else 48000), layout


def _copied(storage: Storage, facts: AudioFacts, container: str, path: Path) -> EncodedAudio | None:
    """The file's packets as they are, the first sample heard at 0; None where that cannot be had."""
    with _Sound(storage, facts.uri) as sound:
        stream = sound.stream
        start = stream.start_time or 0
        lead = _file_start(sound._container, stream) != start * (stream.time_base or 1)
        priming, told = 0, bool(stream.codec_context.delay)
        with _voice_file(path, container) as output:
            out = output.add_stream_from_template(stream, opaque=True)
            for packet in sound._container.demux(stream):
                if packet.pts is None or not packet.size:
                    continue
                packet.pts -= start
                packet.dts = packet.pts
                priming = min(priming, packet.pts)
                packet.stream = out
                output.mux_one(packet)
    # Matroska tells of priming in its header only, which a copy has but from Matroska and Ogg.
    if lead or (priming < 0 and container in ("mkv", "webm") and not told):
        path.unlink(missing_ok=True)
        return None
    return EncodedAudio(path, facts.codec, True, facts.samples, facts.sample_rate)


@contextmanager
def _voice_file(path: Path, container: str) -> Iterator[OutputContainer]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=_VOICE_MUXERS[container], options={"fflags": "+bitexact"}) as output:
        yield output
