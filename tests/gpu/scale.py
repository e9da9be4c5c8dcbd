"""How large everything is that is measured, and a clock that waits for the device."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Scale:
    """Sizes of networks, pictures and rounds."""

    features: int
    blocks: int
    "Of the dense network."
    depth: int
    "Of the compact network."
    height: int
    width: int
    tile: int
    "Side of what the dense network sees."
    batch: int
    faces: int
    "Of a call of Wav2Lip."
    rounds: int
    block_bytes: int
    "Of a reload that is timed."
    matrix: int
    frames: int
    "Of a clip that is rendered."
    compiles: bool


WHOLE = Scale(64, 23, 16, 270, 480, 256, 8, 32, 20, 1 << 30, 8192, 500, True)
DRY = Scale(8, 1, 2, 24, 32, 16, 2, 1, 1, 1 << 20, 64, 12, False)


def seconds_of(device: str, run: Callable[[], object], rounds: int) -> float:
    """Median of one run's wall time, after two that do not count."""
    taken = []
    for _ in range(rounds + 2):
        settle(device)
        started = time.perf_counter()
        run()
        settle(device)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[2:])


def settle(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
