"""Lip sync end to end, scan included: frames a second at 1080p and 720p, in process and through Ray.

The source is the demonstration's portrait made into a moving video (slow turn, move and zoom, sensor
noise), the voice the demonstration's, repeated to the length.  As for identity, a clip and its first half
are rendered and the frames of the second half are divided by the difference of the two wall times; the
speed of the whole command, with all that is paid once, is told beside it.
"""

import statistics
from pathlib import Path

from tests.benchmarks.commands import IN_PROCESS, RAY, render
from tests.benchmarks.rows.identity import Cost, difference
from tests.benchmarks.settings import Settings, new_folder, say
from tests.benchmarks.sources import FRAME_RATE, Source, looped_voice, video
from tests.benchmarks.table import Figure

SIZES = ((1920, 1080, 25.0), (1280, 720, 45.0))


def measure_lip_sync(settings: Settings) -> list[Figure]:
    """A figure for each size and way."""
    return [
        _figure(settings, width, height, limit, where) for width, height, limit in SIZES for where in (IN_PROCESS, RAY)
    ]


def _figure(settings: Settings, width: int, height: int, limit: float, where: str) -> Figure:
    frames = (settings.seconds - settings.half_seconds) * FRAME_RATE
    costs, whole_speeds = [], []
    with new_folder() as folder:
        for _ in range(settings.repeats):
            whole, half = (
                render(*_clip(settings, width, height, seconds, folder), where, _options(settings, seconds))
                for seconds in (settings.seconds, settings.half_seconds)
            )
            cost = difference(whole, half)
            costs.append(cost)
            whole_speeds.append(settings.seconds * FRAME_RATE / whole.measured.wall_seconds)
            speed, cpu = frames / cost.wall_seconds, cost.cpu_seconds
            say(f"lip sync {height}p {where}: {speed:.1f} frames/s, {cpu:.1f} CPU s")
    return _told(height, where, limit, costs, frames, statistics.median(whole_speeds))


def _told(height: int, where: str, limit: float, costs: list[Cost], frames: int, whole_speed: float) -> Figure:
    speed = frames / statistics.median(cost.wall_seconds for cost in costs)
    cpu = statistics.median(cost.cpu_seconds for cost in costs) / frames * 1000
    return Figure(
        "lip-sync", f"lip sync {height}p with scan, {where}", speed, "frames/s", limit, False,
        f"{cpu:.1f} CPU ms a frame; {whole_speed:.1f} frames/s with the start of the command",
        {"CPU ms a frame": cpu, "frames/s of the whole command": whole_speed},
    )  # fmt: skip


def _clip(settings: Settings, width: int, height: int, seconds: int, folder: Path) -> tuple[Path, Path]:
    return video(Source("portrait", width, height, seconds), settings.photo), folder


def _options(settings: Settings, seconds: int) -> list[str]:
    return ["--task", "lip-sync", "--audio", str(looped_voice(settings.voice, seconds)), "--fit", "video"]
