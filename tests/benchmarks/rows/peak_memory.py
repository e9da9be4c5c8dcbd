"""Peak memory at 1080p of an identity render, for a clip and for one ten times as long.

The shorter clip is no shorter than a minute, four segments: with two in flight, only then has one followed
upon another, whose last batch and first batch meet.  A clip of two segments never sees that, and is no measure.
PSS summed over the process tree, looked at twice a second; of Ray's daemons only shared memory (the
object store) counts.  The content is cheap to decode and encode, so that ten minutes of it can be rendered
here: buffers are as large as for any other 1080p content, only packets are smaller.
"""

from tests.benchmarks.commands import IN_PROCESS, RAY, render
from tests.benchmarks.settings import Settings, new_folder, say
from tests.benchmarks.sources import Source, video
from tests.benchmarks.table import Figure

GROWTH_PERCENT = 5.0
#: Four segments of the usual length.
SHORTEST_SECONDS = 60
LIMITS_GB = {IN_PROCESS: 1.5, RAY: 2.5}


def measure_peak_memory(settings: Settings) -> list[Figure]:
    """Growth and peak, in process and through Ray."""
    figures = []
    seconds = max(SHORTEST_SECONDS, settings.seconds)
    for where, limit in LIMITS_GB.items():
        short, long = (_peak_gb(seconds * times, where) for times in (1, 10))
        told = f"{seconds} s: {short:.2f} GB, {seconds * 10} s: {long:.2f} GB"
        growth = (long / short - 1) * 100
        details = {"short GB": short, "long GB": long}
        figures += [
            Figure(
                "memory", f"peak memory 1080p, {where}: growth for a source 10 times longer", growth, "%",
                GROWTH_PERCENT, True, told, details,
            ),
            Figure(
                "memory", f"peak memory 1080p, {where}", max(short, long), "GB", limit, True, told, details
            ),
        ]  # fmt: skip
    return figures


def _peak_gb(seconds: int, where: str) -> float:
    with new_folder() as folder:
        run = render(video(Source("still", 1920, 1080, seconds)), folder, where, memory=True)
    peak = run.measured.peak_bytes / 1e9
    say(f"peak memory 1080p {seconds} s {where}: {peak:.2f} GB in {run.measured.wall_seconds:.0f} s")
    return peak
