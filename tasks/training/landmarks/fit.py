"""Fitting the landmark network to labelled crops; knows no footage and no teacher."""

import copy
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from tasks.faces import points as face
from tasks.faces.region import SIDE
from tasks.nets.landmark_net import LandmarkNet, folded
from tasks.training.landmarks.augment import example
from tasks.training.landmarks.labels import Labelled

log = logging.getLogger(__name__)

#: The region is this much wider than the points of the mean face.
_MARGIN = 1.35
_NEGATIVES = 0.14
#: Weight of the whole shape's relative error of size. Without it a region that is too wide or too narrow is put
#: right by half a look only, and a still settles at a size that depends on where it began.
_SIZE = 30.0
#: Crops that show teeth are drawn this much more often than others of their group.
_TOOTHY = 3.0


@dataclass(frozen=True)
class Cycle:
    """Rates from low to `peak_rate` to nothing, over `steps`; the result is a running average."""

    steps: int
    peak_rate: float
    average: float = 0.999
    hidden_weight: float = 0.8


@dataclass(frozen=True)
class Schedule:
    first: Cycle = Cycle(3600, 2.5e-3, average=0.998)
    "with batch normalisation, which is then folded away"
    others: tuple[Cycle, ...] = (Cycle(2000, 1e-3), Cycle(3700, 1e-3, average=0.998, hidden_weight=4.0))
    batch: int = 32
    seed: int = 0
    workers: int = 1
    "1: a process beside this one makes the examples; 0: this one does"


def mean_shape(points: NDArray[np.float32], rounds: int = 4) -> NDArray[np.float32]:
    """The mean (51, 2) of shapes (N, 51, 2) after taking out place, size and turn; symmetric, relative."""
    every = points.astype(np.float64)
    every = every - every.mean(1, keepdims=True)
    z = every[..., 0] + 1j * every[..., 1]
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    mean = z[0]
    for _ in range(rounds):
        turn = (z.conj() * mean).sum(1, keepdims=True)
        mean = (z * turn / np.abs(turn)).mean(0)
        mean = mean / np.linalg.norm(mean)
    upright = mean * np.exp(-1j * np.angle(mean[face.EYE_RIGHT_OUTER] - mean[face.EYE_LEFT_OUTER]))
    shape = np.stack((upright.real, upright.imag), -1)
    other = shape[list(face.MIRROR)] * (-1, 1)
    shape = (shape + other) / 2
    low, high = shape.min(0), shape.max(0)
    return np.asarray((shape - (low + high) / 2) / (_MARGIN * (high - low).max()), np.float32)


def chances(labelled: Labelled) -> NDArray[np.float64]:
    """How often each crop is drawn: groups by the root of their size, crops with teeth more than others."""
    _, inverse, sizes = np.unique(labelled.group, return_inverse=True, return_counts=True)
    weight = np.sqrt(sizes.astype(float))[inverse] / sizes[inverse] * np.where(labelled.toothy, _TOOTHY, 1.0)
    empty = labelled.group < 0
    weight[~empty] *= (1 - _NEGATIVES) / weight[~empty].sum()
    weight[empty] *= _NEGATIVES / max(weight[empty].sum(), 1e-9)
    return np.asarray(weight / weight.sum(), np.float64)


class _Examples(IterableDataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Endless batches of examples, drawn by `chances`."""

    def __init__(self, labelled: Labelled, shape: NDArray[np.float32], schedule: Schedule) -> None:
        self.labelled, self.shape, self.schedule = labelled, shape, schedule
        self.chances = chances(labelled)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        cv2.setNumThreads(1)
        cv2.setRNGSeed(self.schedule.seed)
        rng = np.random.default_rng(self.schedule.seed)
        while True:
            picked = rng.choice(len(self.chances), self.schedule.batch, p=self.chances)
            made = [self._example(int(i), rng) for i in picked]
            yield (
                torch.from_numpy(np.stack([m[0] for m in made])),
                torch.from_numpy(np.stack([m[1] for m in made])),
                torch.tensor([m[2] for m in made]),
                torch.tensor([m[3] for m in made]),
            )

    def _example(self, i: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32], float, float]:
        points = self.labelled.points[i] if self.labelled.group[i] >= 0 else None
        return example(self.labelled.crops[i], points, self.shape, rng)


def loss_of(
    found: Tensor,
    logits: Tensor,
    wanted: Tensor,
    there: Tensor,
    hidden: Tensor,
    *,
    hidden_weight: float = 0.8,
) -> Tensor:
    """Log-wing on points (lips more), L1 on inner gaps and size, and cross-entropy on presence and hiding."""
    weight = torch.ones(face.POINTS)
    weight[face.LIPS] = 2.25
    apart = (found - wanted).norm(dim=-1) * SIDE  # (N, 51) in region pixels
    wing = 4 * torch.log1p(apart / 0.8) * weight / weight.mean()
    upper, lower = ([gap[k] for gap in face.INNER_GAPS] for k in (0, 1))
    gaps = (found[:, lower] - found[:, upper] - wanted[:, lower] + wanted[:, upper]).norm(dim=-1) * SIDE
    size = (_size(found) / _size(wanted).clamp(min=1e-3) - 1).abs()  # (N,)
    each = wing.mean(1) + 4 * gaps.mean(1) + _SIZE * size
    on_faces = (each * there).sum() / there.sum().clamp(min=1)
    presence = F.binary_cross_entropy_with_logits(logits[:, 0], there)
    covered = F.binary_cross_entropy_with_logits(logits[:, 1], hidden, weight=there)
    out: Tensor = on_faces + 1.6 * presence + hidden_weight * covered
    return out


def _size(shapes: Tensor) -> Tensor:
    """Root mean square distance of points (N, 51, 2) from their middle: (N,)."""
    return (shapes - shapes.mean(1, keepdim=True)).square().sum(-1).mean(1).clamp(min=1e-12).sqrt()


def fit(labelled: Labelled, schedule: Schedule, start: LandmarkNet | None = None) -> LandmarkNet:
    """The network fitted to `labelled`: one cycle with normalisation, then folded, and the others.

    With a `start` the others alone, from there.
    """
    torch.manual_seed(schedule.seed)
    network = start or _from_nothing(labelled, schedule)
    for turn, cycle in enumerate(schedule.others, start=1):
        network = run_cycle(network.train(), labelled, replace(schedule, seed=schedule.seed + turn), cycle)
    return network.eval()


def _from_nothing(labelled: Labelled, schedule: Schedule) -> LandmarkNet:
    network = LandmarkNet(norm=True)
    network.mean_shape.copy_(torch.from_numpy(mean_shape(labelled.points[labelled.group >= 0])))
    return folded(run_cycle(network, labelled, schedule, schedule.first).eval())


def run_cycle(network: LandmarkNet, labelled: Labelled, schedule: Schedule, cycle: Cycle) -> LandmarkNet:
    """The running average of `network` over one cycle."""
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = copy.deepcopy(network)
    optimiser = torch.optim.AdamW(network.parameters(), cycle.peak_rate, weight_decay=0.02)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimiser, cycle.peak_rate, total_steps=cycle.steps, pct_start=0.08)
    started, recent = time.monotonic(), 0.0
    batches = _batches(labelled, network.mean_shape.numpy(), schedule)
    for step, (pictures, *wanted) in zip(range(1, cycle.steps + 1), batches, strict=False):
        x = pictures.permute(0, 3, 1, 2).float() / 255
        loss = loss_of(*network(x), *wanted, hidden_weight=cycle.hidden_weight)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 20.0)
        optimiser.step()
        rates.step()
        _follow(average, network, min(cycle.average, step / (step + 9)))
        recent = loss.item() if step == 1 else 0.98 * recent + 0.02 * loss.item()
        if step % 50 == 0:
            log.info("step %d loss %.3f, %.0f s", step, recent, time.monotonic() - started)
    return average


def _batches(
    labelled: Labelled, shape: NDArray[np.float32], schedule: Schedule
) -> DataLoader[tuple[Tensor, Tensor, Tensor, Tensor]]:
    return DataLoader(
        _Examples(labelled, shape, schedule),
        batch_size=None,
        num_workers=schedule.workers,
        prefetch_factor=8 if schedule.workers else None,
    )


@torch.no_grad()
def _follow(average: LandmarkNet, network: LandmarkNet, keep: float) -> None:
    for mine, its in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mine.is_floating_point():
            mine.lerp_(its, 1 - keep)
        else:
            mine.copy_(its)
