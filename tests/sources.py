"""Videos of every kind, made by PyAV alone, with each frame's number drawn as bits in its luma.

Loss, doubling and disorder of frames are so visible in the pixels.  `Sources` makes a kind when it
is first asked for and keeps it for the session.
"""

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.real_time import ordinary_threads

WIDTH, HEIGHT, FRAMES, RATE = 192, 112, 150, 25
_BIT, _BITS = 12, 14


def luma_of(number: int, *, width: int = WIDTH, height: int = HEIGHT, salt: int = 0) -> "np.ndarray":
    """(height, width) uint8: a moving gradient, a little noise, the number as bits in the top rows."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(number * 977 + salt).integers(0, 12, (height, width))
    luma = ((x + 2 * y + 3 * number + 40 * salt) % 160 + 40 + noise).astype(np.uint8)
    for bit in range(min(_BITS, width // _BIT)):
        luma[:_BIT, bit * _BIT : (bit + 1) * _BIT] = 220 if number >> bit & 1 else 30
    return luma


def number_in(luma: "np.ndarray") -> int:
    """The frame number drawn in a decoded luma plane of any depth."""
    half = 1 << (7 if luma.dtype == np.uint8 else 9)
    cells = (luma[2 : _BIT - 2, b * _BIT + 2 : (b + 1) * _BIT - 2] for b in range(min(_BITS, luma.shape[1] // _BIT)))
    return sum(int(cell.mean() > half) << bit for bit, cell in enumerate(cells))


def frame_of(number: int, *, pixel_format: str = "yuv420p", salt: int = 0) -> "av.VideoFrame":
    luma = luma_of(number, salt=salt)
    chroma = np.full((HEIGHT // 2, WIDTH // 2), 100 + number % 60, np.uint8)
    planes = np.concatenate([luma.ravel(), chroma.ravel(), (255 - chroma).ravel()])
    frame = av.VideoFrame.from_ndarray(planes.reshape(HEIGHT * 3 // 2, WIDTH), format="yuv420p")
    return frame if pixel_format == "yuv420p" else frame.reformat(format=pixel_format, threads=1)


def encode(
    path: Path,
    codec: str,
    *,
    frames: Iterable[int] = range(FRAMES),
    options: dict[str, str] | None = None,
    pixel_format: str = "yuv420p",
    ticks: Callable[[int], int] | None = None,
    time_base: Fraction | None = None,
    rate: Fraction | int = RATE,
    audio: str | None = "aac",
    flags: int = 0,
    tag: str | None = None,
    salt: int = 0,
    bits: int | None = None,
) -> Path:
    """A video of the numbered frames; `ticks` gives each frame's pts in `time_base`."""
    with ordinary_threads(), av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=rate, options=options or {})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pixel_format
        video.codec_context.time_base = time_base or 1 / Fraction(rate)
        video.codec_context.thread_count = 1
        if bits:
            video.codec_context.bit_rate = bits
        if flags:
            video.codec_context.flags |= flags
        if codec in ("mpeg2video", "mpeg4"):
            video.codec_context.qscale = True
            video.codec_context.global_quality = 4 * 118
        if tag:
            video.codec_context.codec_tag = tag
        sound = _Sound(out.add_stream(audio, rate=48000, layout="mono")) if audio else None
        for position, number in enumerate(frames):
            frame = frame_of(number, pixel_format=pixel_format, salt=salt)
            frame.pict_type = 0
            frame.pts = ticks(number) if ticks else position
            frame.time_base = video.codec_context.time_base
            out.mux(video.encode(frame))
            if sound is not None and position % RATE == 0:
                out.mux(sound.second(position // RATE))
        out.mux(video.encode(None))
        if sound is not None:
            out.mux(sound.end())
    return path


class _Sound:
    """A tone of 440 Hz, encoded a second at a time in frames of the codec's size."""

    def __init__(self, stream: "av.AudioStream") -> None:
        self._stream = stream
        self._fifo = av.AudioFifo()
        self._resampler = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=48000)

    def second(self, number: int) -> "list[av.Packet]":
        wave = 0.2 * np.sin(2 * np.pi * 440 * (np.arange(48000) + 48000 * number) / 48000)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 48000 * number, Fraction(1, 48000)
        for part in self._resampler.resample(frame):
            self._fifo.write(part)
        size = self._stream.codec_context.frame_size or 1024
        return [packet for block in self._fifo.read_many(size) for packet in self._stream.encode(block)]

    def end(self) -> "list[av.Packet]":
        rest = self._fifo.read(0, True)
        return (self._stream.encode(rest) if rest is not None else []) + self._stream.encode(None)


def remux(
    source: Path,
    target: Path,
    *,
    format: str | None = None,
    options: dict[str, str] | None = None,
    shift_seconds: float = 0.0,
    video_shift_seconds: float = 0.0,
    seek_seconds: float | None = None,
    repeat: int = 1,
) -> Path:
    """The packets of `source` in another container, their times shifted, or looped `repeat` times."""
    with av.open(str(source)) as inp, av.open(str(target), "w", format=format, options=options or {}) as out:
        streams = {s.index: out.add_stream_from_template(s, opaque=True) for s in inp.streams}
        length = Fraction(inp.duration, 1_000_000) + Fraction(1, 25)
        for round_ in range(repeat):
            inp.seek(int((seek_seconds or 0) * 1_000_000))
            for packet in inp.demux():
                if not packet.size:
                    continue
                base, video = packet.stream.time_base, packet.stream.type == "video"
                shift = shift_seconds + (video_shift_seconds if video else 0) + float(length) * round_
                ticks = round(Fraction(shift).limit_denominator(100_000) / base)
                packet.pts = None if packet.pts is None else packet.pts + ticks
                packet.dts = None if packet.dts is None else packet.dts + ticks
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    return target


_OPEN = "keyint=48:min-keyint=48:bframes=3:open-gop=1:scenecut=0"


def _x264(parameters: str) -> dict[str, str]:
    return {"preset": "veryfast", "crf": "23", "x264-params": parameters}


def _dropping_ticks(number: int) -> int:
    return number * 512


def _kept_frames() -> list[int]:
    kept = np.random.default_rng(7).random(FRAMES) > 0.35
    kept[0] = True
    return np.flatnonzero(kept).tolist()


class Sources:
    """Files by kind, made on demand below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, kind: str) -> Path:
        """The file of a kind of `KINDS`."""
        name, make = KINDS[kind]
        target = self._folder / name
        if not target.exists():
            scratch = target.with_name(f"part-{name}")
            make(self, scratch)
            scratch.rename(target)
        return target


Make = Callable[[Sources, Path], object]


def _encoded(codec: str, **values: object) -> Make:
    return lambda sources, path: encode(path, codec, **values)  # type: ignore[arg-type]


def _remuxed(kind: str, **values: object) -> Make:
    return lambda sources, path: remux(sources.path(kind), path, **values)  # type: ignore[arg-type]


def _two_transport_streams(sources: Sources, path: Path) -> None:
    second = encode(
        path.with_name("second.ts"),
        "libx264",
        options=_x264("keyint=48:bframes=2:ref=5:cabac=0"),
        audio=None,
        salt=3,
    )
    first = encode(path.with_name("first.ts"), "libx264", options=_x264("keyint=48:bframes=3"), audio=None)
    path.write_bytes(first.read_bytes() + second.read_bytes())


_HEVC = {
    "preset": "ultrafast",
    "x265-params": "log-level=none:pools=1:frame-threads=1:keyint=48:min-keyint=48:bframes=4:open-gop=1:scenecut=0",
}
_VP9 = {
    "deadline": "realtime",
    "cpu-used": "8",
    "auto-alt-ref": "1",
    "lag-in-frames": "16",
    "g": "48",
    "b": "400k",
}
_INTERLACED = 0x00040000 | 0x20000000

#: kind -> (file name, how it is made).
KINDS: dict[str, tuple[str, Make]] = {
    "closed mp4": (
        "closed.mp4",
        _encoded("libx264", options=_x264("keyint=48:bframes=3:b-pyramid=normal:open-gop=0")),
    ),
    "open mp4": ("open.mp4", _encoded("libx264", options=_x264(_OPEN))),
    "no-B mp4": ("nob.mp4", _encoded("libx264", options=_x264("keyint=48:bframes=0"))),
    "open mkv": ("open.mkv", _remuxed("open mp4")),
    "open ts": ("open.ts", _remuxed("open mp4")),
    "open mov": ("open.mov", _remuxed("open mp4")),
    "faststart mp4": ("fast.mp4", _remuxed("open mp4", options={"movflags": "+faststart"})),
    "fragmented mp4": (
        "fragmented.mp4",
        _remuxed("open mp4", options={"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    ),
    "no edit list mp4": ("noedit.mp4", _remuxed("open mp4", options={"use_editlist": "0"})),
    "negative cts mp4": ("negcts.mp4", _remuxed("open mp4", options={"movflags": "negative_cts_offsets"})),
    "edit-list trim mp4": ("trim.mp4", _remuxed("open mp4", seek_seconds=3.3, shift_seconds=-3.3)),
    "trim mkv": ("trim.mkv", _remuxed("open mp4", seek_seconds=3.3, shift_seconds=-1.92)),
    "delayed mp4": ("delayed.mp4", _remuxed("open mp4", video_shift_seconds=1.5)),
    "wrap ts": ("wrap.ts", _remuxed("open mp4", shift_seconds=95440.0)),
    "hevc mp4": ("hevc.mp4", _encoded("libx265", options=_HEVC, tag="hvc1")),
    "hevc mkv": ("hevc.mkv", _remuxed("hevc mp4")),
    "hevc ts": ("hevc.ts", _remuxed("hevc mp4")),
    "vp9 webm": ("vp9.webm", _encoded("libvpx-vp9", options=_VP9, audio=None, bits=400_000)),
    "vp8 webm": (
        "vp8.webm",
        _encoded(
            "libvpx",
            options={
                "deadline": "good",
                "cpu-used": "5",
                "auto-alt-ref": "1",
                "lag-in-frames": "16",
                "g": "48",
            },
            audio=None,
            bits=400_000,
        ),
    ),
    "av1 mp4": (
        "av1.mp4",
        _encoded("libsvtav1", options={"preset": "12", "g": "48", "crf": "40", "svtav1-params": "lp=1"}, audio=None),
    ),
    "av1 webm": ("av1.webm", _remuxed("av1 mp4", format="webm")),
    "mpeg2 ts": ("mpeg2.ts", _encoded("mpeg2video", options={"g": "15", "bf": "2"}, audio="mp2")),
    "mpeg2 mpg": ("mpeg2.mpg", _encoded("mpeg2video", options={"g": "15", "bf": "2"}, audio="mp2")),
    "mpeg4 avi": ("mpeg4.avi", _encoded("mpeg4", options={"g": "30", "bf": "2"}, audio=None)),
    "vfr mp4": (
        "vfr.mp4",
        _encoded(
            "libx264",
            options=_x264(_OPEN),
            frames=_kept_frames(),
            ticks=_dropping_ticks,
            time_base=Fraction(1, 12800),
            audio=None,
        ),
    ),
    "vfr mkv": ("vfr.mkv", _remuxed("vfr mp4")),
    "ntsc mp4": (
        "ntsc.mp4",
        _encoded("libx264", options=_x264(_OPEN), rate=Fraction(30000, 1001), audio=None),
    ),
    "intra-refresh mp4": (
        "refresh.mp4",
        _encoded("libx264", options=_x264("keyint=48:intra-refresh=1:bframes=0"), frames=range(600), audio=None),
    ),
    "short intra-refresh mp4": (
        "short-refresh.mp4",
        _encoded("libx264", options=_x264("keyint=48:intra-refresh=1:bframes=0"), audio=None),
    ),
    "interlaced ts": (
        "mbaff.ts",
        _encoded("libx264", options=_x264("tff=1:keyint=48:bframes=2"), flags=_INTERLACED, audio=None),
    ),
    "single keyframe mp4": (
        "single.mp4",
        _encoded("libx264", options=_x264("keyint=infinite:scenecut=0:bframes=3"), frames=range(600), audio=None),
    ),
    "duplicate-pts ts": ("duplicate.ts", _two_transport_streams),
    "prores mov": ("prores.mov", _encoded("prores_ks", options={"profile": "2"}, pixel_format="yuv422p10le")),
    "10-bit mkv": ("tenbit.mkv", _encoded("libx264", options=_x264(_OPEN), pixel_format="yuv420p10le")),
    "ffv1 mkv": ("ffv1.mkv", _encoded("ffv1", options={"level": "3", "g": "1"}, audio=None)),
    "mjpeg avi": ("mjpeg.avi", _encoded("mjpeg", pixel_format="yuvj420p", audio=None)),
    "flv": ("open.flv", _remuxed("open mp4")),
    "ogg vp8": ("vp8.ogv", _remuxed("vp8 webm")),
    "gif": ("anim.gif", _encoded("gif", pixel_format="rgb8", frames=range(20), audio=None, rate=10)),
}

#: Kinds that must be read in one pass.
LINEAR_KINDS = ("intra-refresh mp4", "single keyframe mp4", "duplicate-pts ts")


def sequential(path: Path, number: int | None = None) -> "Iterator[av.VideoFrame]":
    """Every frame in order, by a plain decode of the whole file: what all else must equal."""
    with av.open(str(path), metadata_errors="replace") as container:
        stream = container.streams.video[0] if number is None else container.streams[number]
        stream.codec_context.thread_count = 1
        yield from container.decode(stream)
