"""What the cluster engine loses: a paced task on 1, 2, 4 and 8 pretended GPUs of this machine.

The task holds its GPU for 40 ms a frame of 320x180 and uses no processor meanwhile, so the ideal is known
exactly.  The clock runs from the moment when every cell has passed frames to the last segment that was committed.
The simulator is told what one GPU loses a lease, and predicts the others.  A clip for each GPU divides evenly; eleven
clips of different lengths on eight do not.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from cluster.scheduling.values import Cell, Unit, Video
from cluster.simulation.run import simulate
from cluster.simulation.values import Costs, Setting, VideoLoad
from tests.benchmarks.machine import ROOT
from tests.benchmarks.settings import Settings, say
from tests.benchmarks.table import Figure

EFFICIENCY, IDLE_PERCENT, DRIVER_MS, TAIL, PREDICTION_PERCENT = 0.95, 5.0, 5.0, 1.25, 10.0
GPUS = (1, 2, 4, 8)
_MS, _RATE, _SEGMENT_SECONDS = 40.0, 25, 10.0
#: The most GPUs have so much more to do than others: what the driver takes is asked of a run that goes on.
_DRIVER_TIMES = 3
#: Lengths of clips, as shares of the time that eight GPUs take for all of them.
_UNEVEN = (0.55, 0.74, 0.92, 0.34, 1.19, 0.50, 0.81, 0.98, 0.40, 0.72, 0.85)


def measure_efficiency(settings: Settings) -> list[Figure]:
    """Efficiency, idle share and driver cost by number of GPUs; the simulator's prediction; the tail, simulated."""
    clip_seconds = max(20, 3 * settings.seconds)
    lengths = dict.fromkeys(GPUS, clip_seconds) | {max(GPUS): _DRIVER_TIMES * clip_seconds}
    runs = {count: _run(count, [length] * count) for count, length in lengths.items()}
    figures = [figure for count, run in runs.items() for figure in figures_of(count, run)]
    uneven = uneven_figure(_run(max(GPUS), [round(share * clip_seconds) for share in _UNEVEN]))
    return [*figures, uneven, *_predictions(runs, lengths), tail_figure()]


def measure_tail(settings: Settings) -> list[Figure]:
    """A long video on eight cells, one of them four times slower, over the same on eight equal ones."""
    count, clip_seconds = max(GPUS), 30 * settings.seconds
    equal = _run(count, [clip_seconds])
    slow = _run(count, [clip_seconds], slower=4.0)
    minutes = f"{clip_seconds / 60:g}"
    told = f"{slow['seconds']:.1f} s over {equal['seconds']:.1f} s, from when every cell rendered; "
    return [
        Figure(
            "tail", f"{minutes}-minute video on 8 GPUs, one 4 times slower, over 8 equal ones",
            slow["seconds"] / equal["seconds"], "×", TAIL, True, told + "the capacity that is missing alone is 1.10",
        )
    ]  # fmt: skip


def _run(count: int, clip_seconds: Sequence[int], slower: float = 1.0) -> dict[str, Any]:
    words = [
        "--gpus",
        count,
        "--slower",
        slower,
        "--segment-seconds",
        _SEGMENT_SECONDS,
        "--clip-seconds",
        *clip_seconds,
    ]
    command = [sys.executable, "-m", "tests.benchmarks.paced", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    run: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    say(f"paced task on {count} GPUs: {run['ideal_seconds']:.1f} s ideal, {run['seconds']:.1f} s; {run['idle']}")
    return run | {"clips": len(clip_seconds)}


def uneven_figure(run: dict[str, Any]) -> Figure:
    """Clips of different lengths, more than GPUs."""
    ideal, seconds = run["ideal_seconds"], run["seconds"]
    told = f"{run['clips']} clips, {ideal:.1f} s of pacing on each GPU, {seconds:.1f} s taken"
    name = "the same, clips of uneven length on 8 GPUs"
    return Figure("efficiency", name, ideal / seconds, "×", EFFICIENCY, False, told)


def figures_of(count: int, run: dict[str, Any]) -> list[Figure]:
    """What one run tells."""
    gpus = f"{count} GPU{'s' if count > 1 else ''}"
    ideal, seconds = run["ideal_seconds"], run["seconds"]
    told = f"{run['frames']} frames, {ideal:.1f} s of pacing on each, {seconds:.1f} s taken"
    found = [
        Figure("efficiency", f"paced task on {gpus}: share of the ideal", ideal / seconds, "×", EFFICIENCY, False, told)
    ]
    if count == max(GPUS):
        idle = 100 * (1 - ideal / seconds)
        segments = run["segments"]
        found += [
            Figure("efficiency", f"the same, {gpus}: GPUs without work", idle, "%", IDLE_PERCENT, True, told),
            Figure(
                "efficiency", f"the same, {gpus}: CPU time of the driver a segment", run["driver_ms_a_segment"], "ms",
                DRIVER_MS, True, f"{segments} segments of 10 s in {run['leases']} leases; a driver of Ray that does "
                f"nothing takes {run['idle_driver_ms_a_segment']:.1f} ms of it",
            ),
        ]  # fmt: skip
    return found


def _predictions(runs: dict[int, dict[str, Any]], clip_seconds: dict[int, int]) -> list[Figure]:
    one = runs[1]
    lost = max(0.0, one["seconds"] - one["ideal_seconds"]) / max(1, one["segments"])
    found = []
    for count in GPUS[1:]:
        run = runs[count]
        predicted = run["ideal_seconds"] / predicted_efficiency(count, run["clips"], clip_seconds[count], lost)
        off = 100 * abs(predicted - run["seconds"]) / run["seconds"]
        told = f"predicted {predicted:.1f} s, {run['seconds']:.1f} s taken; one GPU lost {lost * 1000:.0f} ms a segment"
        name = f"simulated run on {count} GPUs, off the real one by"
        found.append(Figure("efficiency", name, off, "%", PREDICTION_PERCENT, True, told))
    return found


def predicted_efficiency(count: int, clips: int, clip_seconds: int, lost_seconds: float) -> float:
    """Share of the ideal that the simulator sees for so many clips, each of segments of ten seconds."""
    segments = max(1, round(clip_seconds / _SEGMENT_SECONDS))
    frames = clip_seconds * _RATE // segments
    size = frames * _MS / 1000
    loads = [
        VideoLoad(
            Video(f"clip {n}"),
            tuple(Unit(f"clip {n}", "render", number, frames, size) for number in range(segments)),
            probe_seconds=0.1, conclude_seconds=0.1, stitch_seconds=0.1,
        )
        for n in range(clips)
    ]  # fmt: skip
    cells = tuple(Cell(f"cell-{n}", f"node-{n}", "gpu") for n in range(count))
    costs = Costs({("", "render", ""): 1.0}, fixed_seconds=lost_seconds)
    outcome = simulate(loads, Setting(cells, costs, side_workers=2 * count))
    return outcome.ideal_seconds / outcome.makespan_seconds


def tail_figure() -> Figure:
    """Eight cells, one of them four times slower, and one video of half an hour: against eight equal cells."""
    frames = 375
    units = tuple(Unit("long", "render", n, frames, 15.0) for n in range(120))
    load = VideoLoad(Video("long"), units, probe_seconds=1.0, stitch_seconds=1.0)
    cells = tuple(Cell(f"cell-{n}", f"node-{n}", "gpu") for n in range(8))
    costs = Costs({("", "render", ""): 0.5}, fixed_seconds=0.5, noise=0.1)

    def makespan(seed: int, slow: bool) -> float:
        slowness = {"cell-3": 4.0} if slow else {}
        return simulate([load], Setting(cells, costs, slowness=slowness, seed=seed)).makespan_seconds

    worst = max(makespan(seed, True) / makespan(seed, False) for seed in range(20))
    return Figure(
        "efficiency", "30-minute video on 8 cells, one 4 times slower, over 8 equal ones (simulated)", worst, "×",
        TAIL, True, "worst of 20 seeds; the capacity that is missing alone is 1.10",
    )  # fmt: skip
