"""Videos and voices that benchmarks render, made with PyAV and kept in a folder between runs.

A unit of 15 seconds is drawn and encoded once; the asked length comes from repeating its packets, so that
every stretch of the source costs the same and a long file takes no time to make.
"""

import heapq
import math
import os
import tempfile
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from tests.benchmarks.pictures import I420, moving_portrait, nearly_still, textured

FRAME_RATE = 25
UNIT_SECONDS = 15
_AUDIO_RATE = 48_000
#: Bumped by hand when a source's content changes.
_VERSION = 4
_UNIT_PARAMS = "keyint=50:bframes=3:scenecut=40:open-gop=0"


@dataclass(frozen=True)
class Source:
    """A video of a kind, size and length."""

    kind: str
    "textured | still | portrait"
    width: int
    height: int
    seconds: int
    faststart: bool = False

    @property
    def frames(self) -> int:
        return self.seconds * FRAME_RATE

    @property
    def name(self) -> str:
        order = "-faststart" if self.faststart else ""
        return f"{self.kind}-{self.width}x{self.height}-{self.seconds}s{order}-v{_VERSION}.mp4"


def cache_folder() -> Path:
    """Where sources lie between runs."""
    folder = Path(tempfile.gettempdir()) / f"reelyard-benchmarks-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    return folder


def video(source: Source, photo: Path | None = None) -> Path:
    """The video's file, made if it is not there; `photo` is what `portrait` shows."""
    path = cache_folder() / source.name
    if path.exists():
        return path
    unit = cache_folder() / f"unit-{source.kind}-{source.width}x{source.height}-v{_VERSION}.mp4"
    if not unit.exists():
        _whole(unit, lambda made: write_unit(_pictures(source, photo), source, made))
    _whole(path, lambda made: loop_packets(unit, made, source.seconds, source.faststart))
    return path


def looped_voice(voice: Path, seconds: int) -> Path:
    """The voice repeated to the length, as 16-bit mono WAV at its own rate."""
    path = cache_folder() / f"{voice.stem}-{seconds}s-v{_VERSION}.wav"
    if not path.exists():
        samples, rate = _decoded(voice)
        repeated = np.resize(samples, seconds * rate)
        _whole(path, lambda made: _write_wave(made, repeated, rate))
    return path


def loop_packets(unit: Path, path: Path, seconds: int, faststart: bool = False) -> None:
    """The unit's packets again and again up to a length, without decoding; the last repeat may be cut."""
    options = {"movflags": "+faststart"} if faststart else {}
    with av.open(str(unit)) as source, av.open(str(path), "w", format="mp4", options=options) as output:
        streams = (source.streams.video[0], source.streams.audio[0])
        written = [output.add_stream_from_template(stream, opaque=True) for stream in streams]
        units: list[list[_Packet]] = [[], []]
        for packet in source.demux(streams):
            if packet.size and packet.dts is not None and packet.pts is not None:
                row = _Packet(packet.pts, packet.dts, packet.is_keyframe, bytes(packet))
                units[streams.index(packet.stream)].append(row)
        spacings = (Fraction(1, FRAME_RATE), Fraction(1024, _AUDIO_RATE))
        runs = [
            _repeated(i, rows, int(spacings[i] / streams[i].time_base), seconds * streams[i].time_base ** -1)
            for i, rows in enumerate(units)
        ]
        for number, step, row in heapq.merge(*runs, key=lambda e: e[2].dts * streams[e[0]].time_base):
            packet = av.Packet(row.payload)
            packet.pts, packet.dts, packet.duration = row.pts, row.dts, step
            packet.is_keyframe = row.keyframe
            packet.time_base = streams[number].time_base
            packet.stream = written[number]
            output.mux(packet)


class _Packet(NamedTuple):
    pts: int
    dts: int
    keyframe: bool
    payload: bytes


def _repeated(number: int, rows: list[_Packet], step: int, ticks: Fraction) -> Iterator[tuple[int, int, _Packet]]:
    """(number, step, packet) in decode order, packets `step` ticks apart, until `ticks` are full."""
    for i in range(int(ticks / step)):
        turn, at = divmod(i, len(rows))
        row, shift = rows[at], turn * len(rows) * step
        yield number, step, row._replace(pts=row.pts + shift, dts=row.dts + shift)


def _pictures(source: Source, photo: Path | None) -> Iterator[I420]:
    count = UNIT_SECONDS * FRAME_RATE
    if source.kind == "textured":
        return textured(source.width, source.height, count)
    if source.kind == "still":
        return nearly_still(source.width, source.height, count)
    if source.kind == "portrait" and photo is not None:
        return moving_portrait(photo, source.width, source.height, count)
    raise ValueError(f"{source.kind}: no such source, or no photo for it")


def write_unit(pictures: Iterator[I420], source: Source, path: Path) -> None:
    """Pictures and as much sound as a unit lasts, as an mp4 of closed GOPs of 2 seconds."""
    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("libx264", FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = source.width, source.height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "veryfast", "crf": "18", "x264-params": _UNIT_PARAMS}
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1
        audio = output.add_stream("aac", _AUDIO_RATE, layout="stereo")
        for i, planes in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = i, Fraction(1, FRAME_RATE)
            output.mux(stream.encode(frame))
        for block in _hum():
            output.mux(audio.encode(block))
        output.mux(stream.encode(None))
        output.mux(audio.encode(None))


def _hum() -> Iterator[av.AudioFrame]:
    """Sound of the unit's length: two tones that swell."""
    for start in range(0, UNIT_SECONDS * _AUDIO_RATE, 1024):
        times = (start + np.arange(1024)) / _AUDIO_RATE
        swell = 0.2 * (1 + np.sin(times * 1.7))
        samples = np.stack([swell * np.sin(times * 2 * math.pi * hertz) for hertz in (220.0, 331.0)])
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = _AUDIO_RATE, start
        frame.time_base = Fraction(1, _AUDIO_RATE)
        yield frame


def _decoded(voice: Path) -> tuple[np.ndarray, int]:
    with av.open(str(voice)) as source:
        stream = source.streams.audio[0]
        rate = stream.rate
        mono = av.AudioResampler(format="s16", layout="mono", rate=rate)
        blocks = [out.to_ndarray()[0] for frame in source.decode(stream) for out in mono.resample(frame)]
    return np.concatenate(blocks), rate


def _write_wave(path: Path, samples: np.ndarray, rate: int) -> None:
    with wave.open(str(path), "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(rate)
        output.writeframes(samples.astype("<i2").tobytes())


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    """Written beside its place and moved there when complete."""
    partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
    try:
        write(partial)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)
