"""Sources with everything beside the pictures: sound, subtitles, chapters, titles; made by PyAV alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.index import Chapter, SourceIdentity, SourceIndex, StreamInfo
from tests.pipeline.pictures import numbered, picture_format

RATE = Fraction(30000, 1001)


@dataclass(frozen=True)
class Sound:
    codec: str = "aac"
    rate: int = 44100
    layout: str = "stereo"
    language: str = "fra"
    hertz: float = 300.0
    default: bool = True
    start_seconds: float = 0.0


@dataclass(frozen=True)
class Rich:
    """What a source holds."""

    frames: int = 120
    sounds: Sequence[Sound] = (Sound(), Sound(language="eng", hertz=900.0, default=False, layout="mono"))
    subtitles: str = ""
    texts: Sequence[tuple[float, float, str]] = ((0.5, 1.5, "Première ligne"), (2.0, 3.0, "second line"))
    chapters: Sequence[tuple[float, float, str]] = ((0.0, 2.0, "One"), (2.0, 4.0, "Two"))
    metadata: dict[str, str] = field(default_factory=lambda: {"title": "A film", "comment": "by hand"})


ASS_HEADER = (
    b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, "
    b"SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, "
    b"ScaleY, Spacing, Angle, "
    b"BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n"
    b"Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n\n"
    b"[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
)


def chirp(samples: int, rate: int, hertz: float, channels: int) -> np.ndarray:
    """Rising tones, another in each channel: any shift of time shows."""
    t = np.arange(samples) / rate
    tones = [np.sin(2 * np.pi * (hertz * (1 + k) * t + 60 * t * t)) * 0.3 for k in range(channels)]
    return np.stack(tones).astype(np.float32)


def make_source(path: Path, rich: Rich | None = None, muxer: str | None = None) -> Path:
    """A file of the container that its name tells."""
    rich = rich or Rich()
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format=muxer) as output:
        video = output.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "bf": "2", "g": "30"})
        video.width, video.height, video.time_base = 160, 96, Fraction(1, 30000)
        video.codec_context.time_base = Fraction(1, 30000)
        sounds = [_sound_stream(output, s) for s in rich.sounds]
        texts = _text_stream(output, rich) if rich.subtitles else None
        output.metadata.update(rich.metadata)
        if rich.chapters:
            output.set_chapters(
                [
                    {
                        "id": i,
                        "start": round(a * 1000),
                        "end": round(b * 1000),
                        "time_base": Fraction(1, 1000),
                        "metadata": {"title": t},
                    }
                    for i, (a, b, t) in enumerate(rich.chapters)
                ]
            )
        packets = [*_pictures(video, rich.frames)]
        for stream, sound in zip(sounds, rich.sounds, strict=True):
            packets += _sounds(stream, sound, float(rich.frames / RATE))
        if texts is not None:
            packets += _texts(texts, rich)
        for packet in sorted(packets, key=lambda p: float(p.dts * p.time_base)):
            output.mux_one(packet)
    return path


def _sound_stream(output, sound):  # type: ignore[no-untyped-def]
    stream = output.add_stream(sound.codec, rate=sound.rate)
    stream.layout = sound.layout
    stream.time_base = stream.codec_context.time_base = Fraction(1, sound.rate)
    stream.metadata["language"] = sound.language
    stream.disposition = 1 if sound.default else 0
    return stream


def _text_stream(output, rich):  # type: ignore[no-untyped-def]
    stream = output.add_stream(rich.subtitles)
    stream.codec_context.subtitle_header = ASS_HEADER
    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
    stream.metadata["language"] = "deu"
    return stream


def _pictures(stream, frames):  # type: ignore[no-untyped-def]
    format = picture_format()
    packets = []
    for i in range(frames):
        frame = av.VideoFrame(160, 96, "yuv420p")
        for plane, samples in zip(frame.planes, numbered(format, np.array([i])), strict=True):
            np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width] = samples[0]
        frame.pts, frame.time_base = i * 1001, Fraction(1, 30000)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _sounds(stream, sound, seconds):  # type: ignore[no-untyped-def]
    samples = round(seconds * sound.rate)
    channels = len(av.AudioLayout(sound.layout).channels)
    wave = chirp(samples, sound.rate, sound.hertz, channels)
    resampler = av.AudioResampler(
        format=stream.codec_context.format, layout=sound.layout, rate=stream.codec_context.sample_rate
    )
    frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout=sound.layout)
    frame.sample_rate, frame.pts, frame.time_base = sound.rate, 0, Fraction(1, sound.rate)
    packets = []
    for piece in [*resampler.resample(frame), *resampler.resample(None)]:
        packets += stream.encode(piece)
    packets += stream.encode(None)
    late = round(sound.start_seconds * sound.rate)
    for packet in packets:
        packet.pts, packet.dts = packet.pts + late, packet.dts + late
    return packets


def _texts(stream, rich):  # type: ignore[no-untyped-def]
    packets = []
    for i, (start, end, text) in enumerate(rich.texts):
        line = f"{i},0,Default,,0,0,0,,{text}".encode()
        made = av.subtitles.subtitle.SubtitleSet.create(line, 0, round((end - start) * 1000))
        packet = stream.codec_context.encode_subtitle(made)
        packet.pts = packet.dts = round(start * 1000)
        packet.duration = round((end - start) * 1000)
        packet.time_base, packet.stream = Fraction(1, 1000), stream
        packets.append(packet)
    return packets


def index_of(path: Path, origin: Fraction = Fraction(0)) -> SourceIndex:
    """As much of a source's index as carrying over reads."""
    with av.open(str(path)) as container:
        streams = tuple(
            StreamInfo(
                s.index,
                s.type,
                s.codec_context.codec.canonical_name if s.codec_context else "",
                s.time_base,
                s.language or "",
                s.metadata.get("title", ""),
                int(s.disposition),
            )
            for s in container.streams
        )
        video = container.streams.video[0]
        pts = np.array(sorted(p.pts for p in container.demux(video) if p.size and p.pts is not None), np.int64)
        chapters = tuple(
            Chapter(
                Fraction(c["start"]) * c["time_base"],
                Fraction(c["end"]) * c["time_base"],
                c["metadata"].get("title", ""),
            )
            for c in container.chapters()
        )
        numbers = np.arange(len(pts))
        return SourceIndex(
            uri=str(path),
            identity=SourceIdentity("key", 1, True),
            container=container.format.name,
            mode="random",
            reason="",
            stream=streams[video.index],
            extradata=b"",
            format=picture_format(),
            decoded_pixel_format="yuv420p",
            conversion="",
            display_matrix=None,
            packets=np.zeros((0, 6), np.int64),
            frame_pts=pts,
            frame_packets=numbers,
            end_pts=int(pts[-1] + np.median(np.diff(pts))),
            split_points=np.zeros(1, np.int64),
            average_rate=RATE,
            variable_rate=False,
            origin_seconds=origin,
            ranged=False,
            still=False,
            streams=streams,
            chapters=chapters,
            metadata=tuple(container.metadata.items()),
        )


def heard(path: Path, number: int = 0) -> tuple[np.ndarray, int, Fraction]:
    """Samples (channels, n) of the n-th audio stream as a player hears them, rate, time of the first."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[number]
        resampler = av.AudioResampler(format="fltp", layout=stream.codec_context.layout.name)
        blocks, first = [], None
        for frame in container.decode(stream):
            if first is None:
                first = frame.pts * frame.time_base
            blocks += [f.to_ndarray() for f in resampler.resample(frame)]
        assert first is not None
        return np.concatenate(blocks, axis=1), stream.codec_context.sample_rate, first


def shown_texts(path: Path) -> list[tuple[float, float, str]]:
    """Start, end and words of every subtitle."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.subtitles[0]
        base = stream.time_base
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                for text in packet.decode():
                    words = text.dialogue.decode()
                    found.append((float(packet.pts * base), float((packet.pts + packet.duration) * base), words))
    return [f for f in found if f[2]]
