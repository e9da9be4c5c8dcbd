"""The embedded network that enlarges twice: how much better than bicubic, and how fast.

PSNR is measured on Set5 and Set14 by the protocol of `tasks.training.upscale.figures`; the pictures lie in the
folder that REELYARD_TEST_DATA names and nowhere in the project.  Beside it stands what the papers of small
networks tell of their own gain, on the same sets, trained on other pictures.  Speed: the network alone on one
thread, by CPU seconds, and the command as for lip sync, a clip less its first half.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from tasks.heap import keep_freed_layers
from tasks.nets.srvgg_net import SRVGGNet
from tasks.runtime.choice import Way, Wish, choose_way
from tasks.runtime.machine import machine_of
from tasks.runtime.run import ready
from tasks.task import TaskSpec
from tasks.training.upscale.figures import Score, scores
from tasks.upscale.networks import Choice
from tests.benchmarks.commands import IN_PROCESS, render
from tests.benchmarks.machine import ROOT
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
#: How much faster than a plain run: with bf16 arithmetic, and without.
COMPACT_GAIN = {"bf16": 1.5, "fp32": 1.1}
COMPACT = "weights/realesr-animevideov3_from_ncnn_fp16.pth"


def measure_upscale(settings: Settings) -> list[Figure]:
    """Gains on both sets, then speeds.

    Raises:
        FileNotFoundError: the sets are not there.
    """
    return [*quality(_sets_folder()), _network_speed(), compact_gain(_data() / COMPACT), _command_speed(settings)]


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


def compact_gain(path: Path) -> Figure:
    """Real-ESRGAN's compact network as `auto` computes it, over the same weights run as they come from the file."""
    plain, ours = [], []
    for _ in range(2):
        # In turns: other work on the machine meets both alike.  In processes: memory is set for all of one.
        plain.append(_alone(path, "plain"))
        ours.append(_alone(path, "ours"))
    machine = machine_of("cpu")
    way = choose_way(Wish(), machine, SRVGGNet.precisions, "SRVGGNetCompact")
    reference, own = statistics.median(plain), statistics.median(ours)
    say(f"compact x4: {own:.0f} CPU ms a picture, plain {reference:.0f}; {way}")
    return Figure(
        "upscale", f"Compact ×4, {way.precision} on one core, over a plain fp32 run", reference / own, "×",
        COMPACT_GAIN[way.precision], False, f"{own:.0f} against {reference:.0f} CPU ms of {WIDTH}x{HEIGHT}",
    )  # fmt: skip


def _alone(path: Path, how: str) -> float:
    """CPU milliseconds a picture, in a process of its own."""
    argv = [sys.executable, "-m", "tests.benchmarks.compact_network", str(path), how, str(WIDTH), str(HEIGHT)]
    return float(subprocess.run(argv, check=True, capture_output=True, text=True, cwd=ROOT).stdout)


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
    return ready(Choice.of(TaskSpec("upscale", (("denoise", "1"),))).network(), Way("eager", "fp32", "embedded"))


def _sets_folder() -> Path:
    return _data() / "data" / "super_resolution"


def _data() -> Path:
    folder = os.environ.get("REELYARD_TEST_DATA")
    if not folder:
        raise FileNotFoundError("REELYARD_TEST_DATA is not set: Set5, Set14 and the weights are not here")
    return Path(folder)
