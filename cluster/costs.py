"""How long a render will likely take: measured milliseconds per frame, scaled by picture size; pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.part import EncodeSpec

#: The picture that the figures below were measured with.
_MEASURED_PIXELS = 1920 * 1080
#: CPU milliseconds per 1080p frame on one thread: decoding h264 at 15 Mb/s, and Ray's two hops.
_DECODE_MS, _HOPS_MS = 10.5, 3.0
#: libx264 by preset; other encoders by their relation to veryfast, roughly.
_X264_MS = {
    "ultrafast": 11.0, "superfast": 17.0, "veryfast": 25.5, "faster": 40.0, "fast": 55.0,
    "medium": 72.0, "slow": 130.0, "slower": 260.0, "veryslow": 450.0,
}  # fmt: skip
_ENCODER_FACTOR = {
    "libx264": 1.0,
    "libx265": 4.0,
    "libsvtav1": 3.0,
    "libvpx-vp9": 5.0,
    "prores_ks": 2.0,
    "ffv1": 1.5,
}
#: Of a task: the part of a frame that it costs whatever the size (a mouth), and the part that grows with it.
_TASK_MS = {"lip-sync": (18.0, 12.0), "label": (1.0, 1.0), "upscale": (0.0, 450.0)}


@dataclass(frozen=True)
class FrameCost:
    """Milliseconds of one frame on one thread of a processor."""

    moving: float
    "Decoding, Ray's hops and encoding, which stay on processors wherever the tasks compute."
    tasks: float
    "The tasks, which a GPU takes over."

    @property
    def total(self) -> float:
        return self.moving + self.tasks


def frame_cost(pixels: int, encode: EncodeSpec, tasks: Sequence[str]) -> FrameCost:
    """An estimate for frames of so many pixels."""
    scale = pixels / _MEASURED_PIXELS
    encoding = _encoding_ms(encode)
    fixed = sum(_TASK_MS.get(name, (0.0, 0.0))[0] for name in tasks)
    growing = sum(_TASK_MS.get(name, (0.0, 0.0))[1] for name in tasks)
    return FrameCost((_DECODE_MS + _HOPS_MS + encoding) * scale, growing * scale + fixed)


def estimate_seconds(frames: int, pixels: int, encode: EncodeSpec, tasks: Sequence[str], cores: int) -> float:
    """Wall seconds of a render on `cores` cores without a GPU; an estimate, start-up left out."""
    return frames * frame_cost(pixels, encode, tasks).total / 1000 / max(1, cores)


def encode_milliseconds(encode: EncodeSpec) -> float:
    """CPU milliseconds that a frame of this encoding likely takes on one thread."""
    return _encoding_ms(encode) * encode.width * encode.height / _MEASURED_PIXELS


def _encoding_ms(encode: EncodeSpec) -> float:
    """Of a frame of the size that was measured."""
    preset = dict(encode.options).get("preset", "veryfast")
    return _X264_MS.get(preset, _X264_MS["veryfast"]) * _ENCODER_FACTOR.get(encode.encoder, 1.0)
