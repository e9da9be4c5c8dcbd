"""Codecs that really open: one frame encoded and decoded again by each; fonts; the shipped weights."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from cluster.doctor import Check
from pipeline.real_time import ordinary_threads

#: (what it is for, encoder, pixel format, needed by the defaults)
_PICTURES = (
    ("h264", "libx264", "yuv420p", True),
    ("h264 10 bit", "libx264", "yuv420p10le", True),
    ("hevc", "libx265", "yuv420p", False),
    ("av1", "libsvtav1", "yuv420p", False),
    ("vp9", "libvpx-vp9", "yuv420p", False),
    ("prores", "prores_ks", "yuv422p10le", False),
    ("ffv1", "ffv1", "yuv420p", False),
)
_SOUNDS = (("aac", "aac", True), ("opus", "libopus", False))
_HARDWARE = (
    "h264_nvenc", "hevc_nvenc", "av1_nvenc", "h264_qsv", "hevc_qsv", "av1_qsv", "h264_amf", "hevc_amf",
    "h264_videotoolbox", "hevc_videotoolbox",
)  # fmt: skip
#: Encoders that print a page about themselves otherwise.
_QUIET = {"libx265": {"x265-params": "log-level=none"}}
_REINSTALL = 'pip install --force-reinstall "av>=18.1,<19"'


def codecs() -> Iterator[Check]:
    """Software codecs of pictures and sound."""
    av.logging.set_level(None)
    os.environ.setdefault("SVT_LOG", "1")
    for name, encoder, pixel_format, needed in _PICTURES:
        fault = picture_fault(encoder, pixel_format)
        yield _check(f"codec {name}", encoder, fault, needed)
    for name, encoder, needed in _SOUNDS:
        yield _check(f"codec {name}", encoder, sound_fault(encoder), needed)


def _check(name: str, encoder: str, fault: str, needed: bool) -> Check:
    if not fault:
        return Check(name, "ok", f"{encoder}: a frame encoded and decoded")
    return Check(name, "broken" if needed else "note", f"{encoder}: {fault}", _REINSTALL)


def hardware_encoders() -> Iterator[Check]:
    """Hardware encoders by trying, since what a build lists says nothing about this machine."""
    working = [name for name in _HARDWARE if not picture_fault(name, "yuv420p", decode=False)]
    found = ", ".join(working) if working else "none opens on this machine: software encoders are used"
    yield Check("hardware encoders", "ok" if working else "note", found)


def hardware_decoders() -> Iterator[Check]:
    """NVDEC by trying: a clip decoded by it and by software, frame by frame."""
    from pipeline.hardware_decode import nvdec_fault

    fault = nvdec_fault()
    words = f"nvdec is not used: {fault}" if fault else "nvdec: a clip came out as software decodes it, bit for bit"
    yield Check("hardware decoders", "note" if fault else "ok", words)


def picture_fault(encoder: str, pixel_format: str, *, decode: bool = True) -> str:
    """Why one frame does not go through an encoder, and back through its decoder; empty where it does."""
    written = io.BytesIO()
    try:
        with ordinary_threads(), av.open(written, "w", format="matroska") as container:
            stream = container.add_stream(encoder, rate=25, options=_QUIET.get(encoder, {}))
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = 320, 192, pixel_format
            stream.codec_context.thread_count = 1
            grey = np.full((192, 320, 3), 90, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, "rgb24").reformat(format=pixel_format)
            frame.pts = 0
            container.mux([*stream.encode(frame), *stream.encode(None)])
        if not decode:
            return ""
        with av.open(io.BytesIO(written.getvalue()), "r") as encoded:
            count = len(list(encoded.decode(video=0)))
    except (av.FFmpegError, ValueError, LookupError) as error:
        return f"{type(error).__name__}: {error}"
    return "" if count == 1 else f"decoded {count} frames of 1"


def sound_fault(encoder: str) -> str:
    """As `picture_fault`, for a frame of silence."""
    try:
        context = av.CodecContext.create(encoder, "w")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate, context.layout, context.format = (
            48000,
            "mono",
            "fltp" if encoder == "aac" else "flt",
        )
        context.open()
        frame = av.AudioFrame.from_ndarray(np.zeros((1, context.frame_size), np.float32), context.format.name, "mono")
        frame.sample_rate, frame.pts = 48000, 0
        packets = [*context.encode(frame), *context.encode(None)]
        return "" if packets else "took a frame and gave no packet"
    except (av.FFmpegError, ValueError, LookupError) as error:
        return f"{type(error).__name__}: {error}"


def fonts() -> Iterator[Check]:
    """The scalable font that `--label` draws with."""
    from PIL import ImageFont, features

    font = ImageFont.load_default(size=32)
    if not features.check("freetype2") or not hasattr(font, "getmask2"):
        yield Check("fonts", "broken", "Pillow has no scalable font", 'pip install --force-reinstall "pillow>=11"')
        return
    left, top, right, bottom = font.getbbox("Reelyard")
    yield Check("fonts", "ok", f"a label of 8 letters is {right - left:.0f}x{bottom - top:.0f} pixels")


def weights() -> Iterator[Check]:
    """The networks that ship with the package."""
    from safetensors import safe_open

    import tasks

    folder = Path(tasks.__file__).parent / "weights"
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        yield Check("weights", "note", f"none in {folder}: lip-sync has no networks")
    for path in found:
        with safe_open(path, framework="numpy") as file:
            tensors = list(file.keys())
        yield Check(f"weights {path.stem}", "ok", f"{len(tensors)} tensors, {path.stat().st_size / 1e3:.0f} kB")
