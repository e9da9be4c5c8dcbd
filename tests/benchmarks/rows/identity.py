"""Identity render at 1080p beside the ffmpeg command: CPU seconds, and wall time over its bound.

Every command is run on a clip and on its first half, and the difference is told: the cost of the second
half alone, so that imports, the start of Ray and of its workers, probing and everything else that is paid
once cancels out exactly, for all three commands alike.  What grows with the clip (index, stitch, commit)
stays in.  The drain of the last segments is in both, so it cancels too; both halves fill two segments in
flight.  Ray's daemons are left out of CPU seconds; where they hold up the wall clock, it shows there.
"""

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.benchmarks.commands import IN_PROCESS, RAY, Run, ffmpeg_identity, render
from tests.benchmarks.settings import Settings, new_folder, say
from tests.benchmarks.sources import Source, video
from tests.benchmarks.table import Figure

CPU_OVER_FFMPEG, RAY_OVER_IN_PROCESS = 1.10, 1.20
WALL_IN_PROCESS, WALL_RAY = 1.15, 1.25


@dataclass(frozen=True)
class Cost:
    """What the second half of the clip took."""

    cpu_seconds: float
    wall_seconds: float
    cores: int

    @property
    def wall_over_bound(self) -> float:
        """1.0: every core was busy with the render all the time."""
        return self.wall_seconds / (self.cpu_seconds / self.cores)


def measure_identity(settings: Settings) -> list[Figure]:
    """Four figures from `settings.repeats` rounds of the three commands, one after the other."""
    whole, half = (_clip(seconds) for seconds in (settings.seconds, settings.half_seconds))
    with new_folder() as folder:
        like = render(half, folder, IN_PROCESS).output.rename(folder / "like.mp4")
        commands: dict[str, Callable[[Path], Run]] = {
            "ffmpeg": partial(ffmpeg_identity, like=like, folder=folder),
            IN_PROCESS: partial(render, folder=folder, where=IN_PROCESS),
            RAY: partial(render, folder=folder, where=RAY),
        }
        rounds: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(settings.repeats):
            for name, command in commands.items():
                cost = difference(command(whole), command(half))
                say(f"identity 1080p {name}: {cost.cpu_seconds:.1f} CPU s, {cost.wall_seconds:.1f} s")
                rounds[name].append(cost)
    return figures_of(rounds, (settings.seconds - settings.half_seconds) * 25)


def difference(whole: Run, half: Run) -> Cost:
    a, b = whole.measured, half.measured
    cores = len(os.sched_getaffinity(0))
    return Cost(a.cpu_seconds - b.cpu_seconds, a.wall_seconds - b.wall_seconds, cores)


def figures_of(rounds: dict[str, list[Cost]], frames: int) -> list[Figure]:
    """The four rows of the table."""
    cpu = {name: statistics.median(c.cpu_seconds for c in costs) for name, costs in rounds.items()}
    wall = {name: statistics.median(c.wall_over_bound for c in costs) for name, costs in rounds.items()}
    speed = {name: frames / statistics.median(c.wall_seconds for c in costs) for name, costs in rounds.items()}
    told = {name: f"{name}: {cpu[name] / frames * 1000:.1f} CPU ms a frame" for name in rounds}
    details = {f"{name} CPU ms a frame": seconds / frames * 1000 for name, seconds in cpu.items()}

    def figure(what: str, value: float, limit: float, against: str) -> Figure:
        return Figure("identity", what, value, "×", limit, True, against, details)

    return [
        figure(
            "identity render 1080p, in process: CPU seconds over the `ffmpeg` command's",
            cpu[IN_PROCESS] / cpu["ffmpeg"], CPU_OVER_FFMPEG, f"{told[IN_PROCESS]}; {told['ffmpeg']}",
        ),
        figure(
            "the same through the Ray cell: CPU seconds over in process",
            cpu[RAY] / cpu[IN_PROCESS], RAY_OVER_IN_PROCESS, f"{told[RAY]}; {told[IN_PROCESS]}",
        ),
        figure(
            "wall time over CPU seconds / cores, in process",
            wall[IN_PROCESS], WALL_IN_PROCESS, f"its own CPU seconds; {speed[IN_PROCESS]:.1f} frames/s",
        ),
        figure(
            "wall time over CPU seconds / cores, through Ray",
            wall[RAY], WALL_RAY, f"its own CPU seconds; {speed[RAY]:.1f} frames/s",
        ),
    ]  # fmt: skip


def _clip(seconds: int) -> Path:
    return video(Source("textured", 1920, 1080, seconds))
