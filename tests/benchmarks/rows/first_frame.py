"""From the start of the command to the first rendered frame, in process and through a local Ray.

The clock starts before the command's process and stops when the command says on its log that a frame came
out of the encoder.  Identity render at 1080p of a local file, file cache warm; the median of the repeats.
"""

import statistics

from tests.benchmarks.commands import IN_PROCESS, RAY, render
from tests.benchmarks.settings import Settings, new_folder, say
from tests.benchmarks.sources import UNIT_SECONDS, Source, video
from tests.benchmarks.table import Figure

LIMITS_SECONDS = {IN_PROCESS: 3.0, RAY: 9.0}
_WORDS = "first frame rendered"


def measure_first_frame(settings: Settings) -> list[Figure]:
    """A figure for each way."""
    return [_figure(settings, where, limit) for where, limit in LIMITS_SECONDS.items()]


def _figure(settings: Settings, where: str, limit: float) -> Figure:
    moments, walls = [], []
    for _ in range(settings.repeats + 1):
        with new_folder() as folder:
            measured = render(video(Source("textured", 1920, 1080, UNIT_SECONDS)), folder, where).measured
        at = measured.first_line(_WORDS)
        if at is None:
            raise AssertionError(f"the command never said {_WORDS!r}")
        say(f"first frame {where}: {at:.2f} s")
        moments.append(at)
        walls.append(measured.wall_seconds)
    return Figure(
        "first-frame", f"from the command to the first rendered frame, {where}",
        statistics.median(moments), "s", limit, True,
        f"the whole command on {UNIT_SECONDS} s: {statistics.median(walls):.1f} s",
    )  # fmt: skip
