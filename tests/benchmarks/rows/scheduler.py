"""What deciding costs: the scheduler of real runs, driven by the simulator, each run in a process of its own.

CPU seconds are of the whole process, its start and the simulator's own work included; one thread.
"""

import json
import sys

from tests.benchmarks.machine import ROOT
from tests.benchmarks.meter import Measured, measure
from tests.benchmarks.settings import Settings, say
from tests.benchmarks.table import Figure

SECONDS, MEGABYTES = 30.0, 500.0


def measure_scheduler(settings: Settings) -> list[Figure]:
    """Seconds and memory of 200,000 segments; seconds of 10,000 videos with faults."""
    segments, told = _run("segments")
    detail = f"1,000 videos on 512 cells, {told['attempts']} leases; efficiency {told['efficiency']:.3f}"
    megabytes = segments.peak_bytes / 1e6
    videos, faulty = _run("videos")
    faults = f"{faulty['attempts']} leases, {faulty['failures']} failures, 40 spot losses"
    return [
        Figure(
            "scheduler", "200,000 segments scheduled in the simulator", segments.cpu_seconds, "s", SECONDS, True, detail
        ),
        Figure("scheduler", "the same: peak memory", megabytes, "MB", MEGABYTES, True, detail),
        Figure(
            "scheduler", "10,000 videos on 512 GPUs with failures and spot loss, simulated", videos.cpu_seconds, "s",
            SECONDS, True, f"{faults}; efficiency {faulty['efficiency']:.3f}",
        ),
    ]  # fmt: skip


def _run(name: str) -> tuple[Measured, dict[str, float]]:
    argv = [sys.executable, "-m", "tests.benchmarks.simulated_runs", name]
    measured = measure(argv, environment={"OMP_NUM_THREADS": "1"}, folder=ROOT, memory=True)
    told = json.loads(next(line.text for line in measured.lines if line.text.startswith("{")))
    say(f"simulated {name}: {measured.cpu_seconds:.1f} CPU s, {measured.peak_bytes / 1e6:.0f} MB")
    return measured, told
