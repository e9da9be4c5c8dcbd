"""The embedded network that enlarges twice: how much better than bicubic, and how fast.

PSNR is measured on Set5 and Set14 by the protocol of `tasks.training.upscale.figures`; the pictures lie in the
folder that REELYARD_TEST_DATA names and nowhere in the project.  Beside it stands what the papers of small
networks tell of their own gain, on the same sets, trained on other pictures.  Speed: the network alone on one
thread, by CPU seconds, and the command as for lip sync, a clip less its first half.
"""

import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from tasks.heap import keep_freed_layers
from tasks.task import TaskSpec
from tasks.training.upscale.figures import Score, scores
from tasks.upscale.networks import Choice
from tests.benchmarks.commands import IN_PROCESS, render
from tests.benchmarks.rows.identity import difference
from tests.benchmarks.settings import Settings, new_folder, say
from tests.benchmarks.sources import FRAME_RATE, Source, video
from tests.benchmarks.table import Figure

WIDTH, HEIGHT = 480, 270
FRAMES_PER_SECOND = 10.0
#: Set, decibels asked for, decibels over bicubic by the papers of others.
SETS = (
    ("Set5", 2.8, "FSRCNN 3.3, ECBSR-M4C16 3.7"),
    ("Set14", 1.9, "FSRCNN 2.4"),
)
_ROUNDS = 8


def measure_upscale(settings: Settings) -> list[Figure]:
    """Gains on both sets, then speeds.

    Raises:
        FileNotFoundError: the sets are not there.
    """
    return [*quality(_sets_folder()), _network_speed(), _command_speed(settings)]


def quality(folder: Path) -> list[Figure]:
    """The gain on every set below a folder."""
    network = _embedded()
    figures = []
    for name, limit, published in SETS:
        found = scores(network, folder / name)
        figures.append(gain_figure(name, limit, published, found))
        say(", ".join(f"{one.name} {one.network:.2f} ({one.network - one.bicubic:+.2f})" for one in found))
    return figures


def gain_figure(name: str, limit: float, published: str, found: list[Score]) -> Figure:
    network, bicubic = (float(np.mean([getattr(one, kind) for one in found])) for kind in ("network", "bicubic"))
    return Figure(
        "upscale", f"upscale ×2, PSNR-Y over bicubic, {name}", network - bicubic, "dB", limit, False,
        f"{network:.2f} dB, bicubic {bicubic:.2f}; by their papers {published}",
        {"PSNR-Y": network, "bicubic": bicubic},
    )  # fmt: skip


def _network_speed() -> Figure:
    torch.set_num_threads(1)
    keep_freed_layers()
    network, x = _embedded(), torch.rand(1, 3, HEIGHT, WIDTH)
    taken = []
    with torch.inference_mode():
        for _ in range(_ROUNDS + 1):
            started = time.process_time()
            network(x)
            taken.append(time.process_time() - started)
    milliseconds = 1000 * statistics.median(taken[1:])
    say(f"the network alone: {milliseconds:.0f} CPU ms a frame")
    return Figure(
        "upscale", f"upscale {WIDTH}x{HEIGHT} ×2, the network alone on one core", 1000 / milliseconds, "frames/s", None,
        False, f"{milliseconds:.0f} CPU ms a frame",
    )  # fmt: skip


def _command_speed(settings: Settings) -> Figure:
    frames = (settings.seconds - settings.half_seconds) * FRAME_RATE
    costs = []
    with new_folder() as folder:
        for _ in range(settings.repeats):
            runs = (
                render(video(Source("textured", WIDTH, HEIGHT, seconds)), folder, IN_PROCESS, ["--task", "upscale"])
                for seconds in (settings.seconds, settings.half_seconds)
            )
            costs.append(difference(*runs))
    speed = frames / statistics.median(cost.wall_seconds for cost in costs)
    cpu = statistics.median(cost.cpu_seconds for cost in costs) / frames * 1000
    say(f"upscale, whole command: {speed:.1f} frames/s, {cpu:.0f} CPU ms a frame")
    return Figure(
        "upscale", f"upscale {WIDTH}x{HEIGHT} ×2, in process, decode to encode", speed, "frames/s", FRAMES_PER_SECOND,
        False, f"{cpu:.0f} CPU ms a frame", {"CPU ms a frame": cpu},
    )  # fmt: skip


def _embedded() -> torch.nn.Module:
    return Choice.of(TaskSpec("upscale", (("denoise", "1"),))).network()


def _sets_folder() -> Path:
    folder = os.environ.get("REELYARD_TEST_DATA")
    if not folder:
        raise FileNotFoundError("REELYARD_TEST_DATA is not set: Set5 and Set14 are not here")
    return Path(folder) / "data" / "super_resolution"
