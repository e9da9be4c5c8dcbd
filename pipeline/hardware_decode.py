"""Decoding by NVDEC: tried on the source itself, and trusted only where its frames are those of software, bit for bit.

A build lists decoders that no library opens, and a GPU decodes some formats of a codec only, so nothing is believed
but frames.  What is not trusted is decoded in software, with the reason in the report.
"""

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, cast

import av
import numpy as np
from av.codec.hwaccel import HWAccel

from pipeline.frames import FrameReader, NewDecoder
from pipeline.index import SourceIndex
from pipeline.job import DECODERS
from pipeline.packets import new_decoder, prepare_decoder
from pipeline.planes import PlaneWriter, new_planes
from pipeline.real_time import ordinary_threads
from pipeline.storage import Storage
from tasks.errors import ReelyardError
from tasks.picture import Plane

SOFTWARE, NVDEC = DECODERS
#: FFmpeg's decoders that NVDEC can stand behind.  Of AV1 the one named for it: the other takes the GPU's name and
#: decodes in software all the same (PyAV #1690).
_ON_GPU: Final = {"h264": "h264", "hevc": "hevc", "vp9": "vp9", "av1": "av1_cuvid"}
#: Frames of the source that are decoded by both: a keyframe, and what is predicted from it.
_TRIED_FRAMES: Final = 12


@dataclass(frozen=True)
class DecoderChoice:
    """Who decodes a source, and why."""

    back_end: str
    "software | nvdec"
    reason: str = ""
    "Why not what was asked for; empty where it is that."

    @property
    def new_decoder(self) -> NewDecoder:
        return new_nvdec if self.back_end == NVDEC else new_decoder

    @property
    def words(self) -> str:
        """What is counted of every frame; empty for software that nobody asked to be otherwise."""
        if self.back_end == NVDEC:
            return "frames decoded by nvdec"
        return f"frames decoded in software, not by nvdec: {self.reason}" if self.reason else ""


def choose_decoder(asked: str, codec: str, ranged: bool, tried: Callable[[], str]) -> DecoderChoice:
    """Pure, but for `tried`: why the source's own frames cannot be had of NVDEC, empty where they can."""
    if asked == SOFTWARE:
        return DecoderChoice(SOFTWARE)
    if codec not in _ON_GPU:
        return DecoderChoice(SOFTWARE, f"NVDEC has no decoder of {codec} here")
    if not ranged:
        return DecoderChoice(SOFTWARE, "the container is read through its demuxer, which decodes in software")
    fault = tried()
    return DecoderChoice(SOFTWARE, fault) if fault else DecoderChoice(NVDEC)


_known: dict[str, DecoderChoice] = {}
_trying = threading.Lock()


def decoder_of(storage: Storage, index: SourceIndex, asked: str, damaged: str = "fail") -> DecoderChoice:
    """Who decodes a source in this process; tried once for each."""
    if asked == SOFTWARE:
        return DecoderChoice(SOFTWARE)
    if damaged == "repeat":
        return DecoderChoice(SOFTWARE, "with --damaged repeat software decides which frames are damaged")
    with _trying:
        if index.identity.key not in _known:
            found = choose_decoder(asked, index.stream.codec, index.ranged, lambda: trial_fault(storage, index))
            _known[index.identity.key] = found
        return _known[index.identity.key]


def distrust(index: SourceIndex, reason: str) -> None:
    """This process decodes the source in software from now on."""
    with _trying:
        _known[index.identity.key] = DecoderChoice(SOFTWARE, reason)


def trial_fault(storage: Storage, index: SourceIndex, made: "NewDecoder | None" = None) -> str:
    """Why the first frames of a source are not to be had of NVDEC as they are in software; empty where they are."""
    numbers = np.arange(min(_TRIED_FRAMES, index.frames), dtype=np.int64)
    try:
        ours = _decoded(FrameReader(storage, index, new_decoder=made or new_nvdec), numbers)
        return difference(_decoded(FrameReader(storage, index), numbers), ours)
    except (av.FFmpegError, ReelyardError, RuntimeError, ValueError, NotImplementedError) as error:
        return _first_line(error)


def difference(software: Sequence["tuple[Plane, ...] | None"], hardware: Sequence["tuple[Plane, ...] | None"]) -> str:
    """How frames differ from those of software, the first that does; empty where none does."""
    for number, (one, other) in enumerate(zip(software, hardware, strict=True)):
        if one is None and other is None:
            continue
        if one is None or other is None:
            return f"frame {number} is {'one that software has not' if one is None else 'missing'}"
        apart = max(int(np.abs(a.astype(int) - b.astype(int)).max(initial=0)) for a, b in zip(one, other, strict=True))
        if apart:
            return f"frame {number} is {apart} code values apart from software's"
    return ""


def new_nvdec(index: SourceIndex, thread_count: int) -> "av.VideoCodecContext":
    """A decoder on the first GPU of this process; its frames come down to host memory.

    Raises:
        ValueError, av.FFmpegError: it does not open.
    """
    return _opened(_ON_GPU[index.stream.codec], index.stream.codec, index.extradata or None, index.format, thread_count)


def _opened(name: str, codec: str, extradata: bytes | None, size: Any, thread_count: int) -> "av.VideoCodecContext":
    try:
        accelerated = HWAccel("cuda", device="0", allow_software_fallback=False)
        decoder = cast("av.VideoCodecContext", av.CodecContext.create(name, "r", hwaccel=accelerated))
    except (av.FFmpegError, RuntimeError) as error:
        raise ValueError(
            f"no GPU opens for decoding ({_first_line(error)}): it takes NVIDIA's driver with its video library, and a "
            "process that sees the GPU (--in-process, or a node with one processor)"
        ) from error
    decoder.extradata = extradata
    decoder.width, decoder.height = size.width, size.height
    prepare_decoder(decoder, codec, thread_count)
    if not name.endswith("_cuvid") and not decoder.is_hwaccel:
        raise ValueError(f"{name} opens, but in software")
    return decoder


def _decoded(reader: FrameReader, numbers: Any) -> "list[tuple[Plane, ...] | None]":
    """The planes of each frame, None where it is missing."""
    writer, found = PlaneWriter(reader.index.format, flat=reader.index.flat), []
    for picture in reader.pictures(numbers):
        planes = None
        if picture.frame is not None and not picture.repeated:
            planes = new_planes(reader.index.format, 1)
            writer.write(picture.frame, planes, 0)
        found.append(planes)
    return found


def nvdec_fault() -> str:
    """Why a clip made here does not come out of NVDEC as it does of software; empty where it does."""
    clip, extradata, size = _small_clip()
    try:
        hardware = _opened("h264", "h264", extradata, size, 1)
        found = [_grey(frame) for packet in (*clip, None) for frame in hardware.decode(packet)]
    except (av.FFmpegError, RuntimeError, ValueError, NotImplementedError) as error:
        return _first_line(error)
    software = av.VideoCodecContext.create("h264", "r")
    software.extradata = extradata
    expected = [_grey(frame) for packet in (*clip, None) for frame in software.decode(packet)]
    if len(found) != len(expected):
        return f"{len(found)} frames of {len(expected)} came out"
    return difference(expected, found)


def _small_clip() -> tuple[list[Any], bytes | None, Any]:
    """Packets of a moving slope, as a file has them."""
    written = io.BytesIO()
    with ordinary_threads(), av.open(written, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(_TRIED_FRAMES):
            slope = (np.add.outer(np.arange(288), np.arange(320)) // 2 + 5 * number).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(slope, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(io.BytesIO(written.getvalue()), "r") as encoded:
        context = encoded.streams.video[0].codec_context
        return [packet for packet in encoded.demux(video=0) if packet.size], context.extradata, context


def _grey(frame: "av.VideoFrame") -> tuple[Plane, ...]:
    """Luma alone, which every layout of the decoders keeps apart."""
    plane = frame.planes[0]
    rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
    return (rows[: frame.height, : frame.width].copy(),)


def _first_line(error: BaseException) -> str:
    words = str(error).strip()
    return words.splitlines()[0] if words else type(error).__name__
