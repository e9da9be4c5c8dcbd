"""Numbered pictures for encoders: each frame's number stands in its luma as blocks of black and white."""

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from pipeline.encode import encode_lease, part_muxer
from pipeline.part import EncodeSpec, Part
from pipeline.segments import Segment
from pipeline.storage import Storage
from pipeline.timeline import Timeline
from pipeline.work import Lease, SegmentWork
from tasks.picture import Colour, FrameBatch, PictureFormat, pixel_layout

BITS, BLOCK = 16, 8
BT709 = Colour(1, 1, 1, False)


def picture_format(name: str = "yuv420p", width: int = 160, height: int = 96, **values: object) -> PictureFormat:
    layout = pixel_layout(name)
    assert layout is not None
    return PictureFormat(layout, width, height, values.pop("colour", BT709), **values)  # type: ignore[arg-type]


def numbered(format: PictureFormat, numbers: npt.NDArray[np.int64], seed: int = 0) -> tuple[np.ndarray, ...]:
    """Planes with a moving gradient, a little noise and the number as bits in the first rows."""
    top = (1 << format.layout.depth) - 1
    planes = []
    for k, (height, width) in enumerate(format.plane_shapes):
        ramp = np.arange(height)[:, None] + 2 * np.arange(width)[None, :] + 31 * k
        noise = np.random.default_rng(seed + k).integers(0, 4, (height, width))
        moved = (ramp[None] + 3 * numbers[:, None, None]) % 200 + 20 + noise
        planes.append((moved * (top / 255)).astype(format.layout.dtype))
    for bit in range(BITS):
        on = (numbers >> bit) & 1
        planes[0][:, :BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = (on * (top * 0.8) + top * 0.1)[:, None, None].astype(
            format.layout.dtype
        )
    return tuple(planes)


def number_of(frame: av.VideoFrame) -> int:
    """The number drawn into a decoded frame."""
    wide = len(frame.format.components) and frame.format.components[0].bits > 8
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint16 if wide else np.uint8).reshape(plane.height, -1)
    middle = (1 << frame.format.components[0].bits) // 2
    row = luma[2 : BLOCK - 2]
    return sum(int(row[:, b * BLOCK + 2 : (b + 1) * BLOCK - 2].mean() > middle) << b for b in range(BITS))


def make_timeline(pts: list[int], end_pts: int, time_base: Fraction, rate: Fraction | None) -> Timeline:
    numbers = np.arange(len(pts), dtype=np.int64)
    return Timeline("identity", time_base, np.array(pts, np.int64), end_pts, numbers, rate, Fraction(0), None, True)


def constant_timeline(frames: int, rate: Fraction = Fraction(25), start: int = 0) -> Timeline:
    step = rate.denominator
    return make_timeline(
        [start + i * step for i in range(frames)], start + frames * step, Fraction(1, rate.numerator), rate
    )


def batches(format: PictureFormat, timeline: Timeline, size: int = 8, stop: int | None = None) -> Iterator[FrameBatch]:
    count = len(timeline) if stop is None else stop
    for a in range(0, count, size):
        numbers = np.arange(a, min(a + size, count), dtype=np.int64)
        planes = numbered(format, numbers)
        for plane in planes:
            plane.flags.writeable = False
        yield FrameBatch(format, planes, a, timeline.pts[numbers], numbers)


def make_lease(timeline: Timeline, spec: EncodeSpec, borders: list[int], folder: str) -> Lease:
    works = []
    for i, (a, b) in enumerate(itertools.pairwise(borders)):
        end = int(timeline.pts[b]) if b < len(timeline) else timeline.end_pts
        uri = f"{folder}/part-{i}.{part_muxer(spec.encoder)}"
        works.append(
            SegmentWork(
                Segment(i, a, b),
                timeline.source_frames[a:b],
                timeline.pts[a:b],
                end,
                (),
                spec,
                f"key{i}",
                uri,
            )
        )
    return Lease(tuple(works), 8)


def encode_all(
    format: PictureFormat,
    timeline: Timeline,
    spec: EncodeSpec,
    borders: list[int],
    folder: Path,
    size: int = 8,
) -> list[Part]:
    lease = make_lease(timeline, spec, borders, str(folder / "work"))
    return list(encode_lease(Storage({}), lease, batches(format, timeline, size), folder))


def every(step: int, count: int) -> list[int]:
    return [*range(0, count, step), count]


def planes_of(frame: av.VideoFrame) -> list[np.ndarray]:
    wide = frame.format.components[0].bits > 8
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(memoryview(plane), np.uint16 if wide else np.uint8).reshape(plane.height, -1)
        found.append(rows[:, : plane.width].copy())
    return found


def decoded(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def check_silent(path: Path) -> None:
    """The ffmpeg command, where there is one, plays the whole file without a word."""
    if shutil.which("ffmpeg") is None:
        return
    command = [
        "ffmpeg",
        "-v",
        "warning",
        "-nostdin",
        "-i",
        str(path),
        "-map",
        "0:v",
        "-map",
        "0:a?",
        "-f",
        "null",
        "-",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == ""
