"""Outputs stitched from numbered parts, and what every one of them must hold."""

import dataclasses
import itertools
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av

from pipeline.carry import CarryPlan
from pipeline.encoders import CONTAINERS, choose_encoding
from pipeline.job import EncodeRequest
from pipeline.part import EncodeSpec, Part
from pipeline.stamps import rescaled
from pipeline.stitch import StitchRequest, stitch
from pipeline.storage import Storage
from pipeline.timeline import Timeline
from tasks.picture import PictureFormat
from tests.pipeline.pictures import constant_timeline, encode_all, picture_format

NTSC = Fraction(30000, 1001)
TABLE = [(container, codec) for container, codecs in CONTAINERS.items() for codec in codecs]


def render(
    folder: Path,
    container: str,
    timeline: Timeline,
    borders: list[int],
    request: EncodeRequest | None = None,
    format: PictureFormat | None = None,
    options: dict[str, str] | None = None,
    **stitching: object,
) -> tuple[Path, list[Part], EncodeSpec]:
    format = format or picture_format()
    spec = choose_encoding(format, timeline, request or EncodeRequest(), container)
    if options:
        spec = dataclasses.replace(spec, options=tuple(sorted({**dict(spec.options), **options}.items())))
    parts = encode_all(format, timeline, spec, borders, folder)
    output = folder / "out" / f"film.{container}"
    carry = stitching.pop("carry", CarryPlan())
    stitch(Storage({}), parts, timeline, spec, StitchRequest(str(output), carry, **stitching), folder / "work")  # type: ignore[arg-type]
    return output, parts, spec


def check_packets(path: Path, timeline: Timeline) -> None:
    """Every planned pts once, dts rising and never above pts, and the planned end."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        time_base = stream.time_base  # A stream is not to be asked once its container is closed.
        assert time_base is not None
        packets = [p for p in container.demux(stream) if p.size]
        lasts = stream.duration
    pts = [p.pts for p in packets]
    assert sorted(pts) == rescaled(timeline.pts, timeline.time_base, time_base).tolist()
    dts = [p.dts for p in packets if p.dts is not None]
    assert all(a < b for a, b in itertools.pairwise(dts))
    assert all(p.dts is None or p.dts <= p.pts for p in packets)
    if path.suffix in (".mp4", ".mov"):
        assert lasts == timeline.end_pts - timeline.pts[0]
        assert time_base == timeline.time_base


def check_ffmpeg_is_silent(path: Path, frames: int) -> None:
    if shutil.which("ffmpeg") is None:
        return
    command = ["ffmpeg", "-v", "warning", "-nostdin", "-i", str(path), "-map", "0:v:0", "-f", "framemd5", "-"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert len([line for line in done.stdout.splitlines() if not line.startswith("#")]) == frames


def stitched(tmp_path: Path) -> tuple[Timeline, EncodeSpec, list[Part], StitchRequest]:
    timeline, format = constant_timeline(20), picture_format()
    spec = choose_encoding(format, timeline, EncodeRequest(), "mp4")
    parts = encode_all(format, timeline, spec, [0, 8, 20], tmp_path)
    return timeline, spec, parts, StitchRequest(str(tmp_path / "out" / "film.mp4"), CarryPlan())
