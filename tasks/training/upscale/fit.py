"""Fitting the embedded network to pictures in memory; knows no footage."""

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.nets.detail_net import DetailNet
from tasks.training.upscale.bicubic import scaled

log = logging.getLogger(__name__)

Codes = NDArray[np.uint8]

_FOOT, _SPAN = 16.0, 219.0
#: Of the running average of weights that is kept.
_AVERAGE = 0.999


@dataclass(frozen=True)
class Lesson:
    """A picture and the half of it that is to be enlarged, both (H, W) code values."""

    whole: Codes
    half: Codes

    @classmethod
    def of(cls, whole: Codes) -> "Lesson":
        half = np.rint(scaled(whole.astype(np.float64), Fraction(1, 2))).clip(0, 255)
        return cls(whole, half.astype(np.uint8))


@dataclass(frozen=True)
class Schedule:
    """How long and in what steps.  Each cycle ends with a network that may ship; the next goes on from it."""

    cycles: tuple[int, ...] = (5000, 8000, 12_000)
    "Steps of each."
    peak_rates: tuple[float, ...] = (2e-3, 1.2e-3, 1e-3)
    batch: int = 16
    side: int = 32
    "Of a patch, in pixels of the half."
    squared_share: float = 0.35
    "Of each cycle's steps, the last, that minimise the squared error and not the absolute one."
    seed: int = 0
    look_steps: int = 1000
    "Between two looks at what was learnt."


def fit(
    network: DetailNet,
    photographs: Sequence[Lesson],
    drawings: Sequence[Lesson],
    schedule: Schedule,
    look: Callable[[str, DetailNet], None],
) -> DetailNet:
    """The running average of the network, fitted to patches; a quarter of them of drawings.

    `look` sees the average now and then, so that it may be kept.
    """
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batches = _batches(photographs, drawings, schedule)
    for number, (steps, rate) in enumerate(zip(schedule.cycles, schedule.peak_rates, strict=True), start=1):
        average = copy.deepcopy(network).eval()
        optimiser = torch.optim.Adam(network.parameters(), rate, betas=(0.9, 0.99))
        started, recent = time.monotonic(), 0.0
        for step, (half, whole) in zip(range(1, steps + 1), batches, strict=False):
            optimiser.param_groups[0]["lr"] = rate * _share_of_rate(step, steps)
            squared = step > steps * (1 - schedule.squared_share)
            loss = _step(network, optimiser, half, whole, squared=squared)
            _follow(average, network, min(_AVERAGE, step / (step + 9)))
            recent = loss if step == 1 else 0.99 * recent + 0.01 * loss
            if step % schedule.look_steps == 0 or step == steps:
                name = f"cycle {number} step {step}"
                log.info("%s loss %.5f, %.0f s", name, recent, time.monotonic() - started)
                look(name, average)
        network.load_state_dict(average.state_dict())
    return network.eval()


def _step(network: DetailNet, optimiser: torch.optim.Optimizer, half: Tensor, whole: Tensor, *, squared: bool) -> float:
    """One step down; the squared error is scaled so that a rate means the same for both."""
    error = _base(half) + network.luma_detail(half) - whole
    loss = 40 * error.square().mean() if squared else error.abs().mean()
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
    optimiser.step()
    return float(loss.detach())


def _base(half: Tensor) -> Tensor:
    return F.interpolate(half, scale_factor=2, mode="bilinear")


def _share_of_rate(step: int, steps: int) -> float:
    """Of the peak rate: a short rise, then half a cosine down to a hundredth."""
    return min(1.0, step / 300) * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)


def _batches(
    photographs: Sequence[Lesson], drawings: Sequence[Lesson], schedule: Schedule
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (N, 1, side, side) and (N, 1, 2 side, 2 side) in 0..1, turned and mirrored by chance."""
    rng = np.random.default_rng(schedule.seed)
    areas = np.array([lesson.half.size for lesson in photographs], np.float64)
    chances = areas / areas.sum()
    while True:
        pairs = []
        for k in range(schedule.batch):
            drawn = drawings and k % 4 == 0
            lesson = (
                drawings[int(rng.integers(len(drawings)))]
                if drawn
                else photographs[rng.choice(len(photographs), p=chances)]
            )
            pairs.append(_patch(lesson, schedule.side, rng))
        half, whole = (
            torch.from_numpy(np.stack(some).astype(np.float32)).sub_(_FOOT).div_(_SPAN)[:, None]
            for some in zip(*pairs, strict=True)
        )
        yield half, whole


def _patch(lesson: Lesson, side: int, rng: np.random.Generator) -> tuple[Codes, Codes]:
    """The busier of two patches: plain ones teach little."""
    tries = []
    for _ in range(2):
        y, x = (int(rng.integers(0, length - side + 1)) for length in lesson.half.shape)
        tries.append((float(lesson.half[y : y + side, x : x + side].std()), y, x))
    _, y, x = max(tries)
    half = lesson.half[y : y + side, x : x + side]
    whole = lesson.whole[2 * y : 2 * (y + side), 2 * x : 2 * (x + side)]
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    return _turned(half, turns, mirrored), _turned(whole, turns, mirrored)


def _turned(patch: Codes, turns: int, mirrored: bool) -> Codes:
    turned = np.rot90(patch, turns)
    return turned[:, ::-1] if mirrored else turned


@torch.no_grad()
def _follow(average: DetailNet, network: DetailNet, keep: float) -> None:
    for mine, its in zip(average.parameters(), network.parameters(), strict=True):
        mine.lerp_(its, 1 - keep)
