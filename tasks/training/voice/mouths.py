"""Teaching the measured networks by descent: clips disturbed in their mel columns, synthetic speech among them.

A minute of clips teaches a network little that holds for the next speaker unless no two of its steps
hear the same voice: so each window gets other formants, another microphone, room noise and pace.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.voice import HALF_NATURAL, net_inputs, speech_floor
from tasks.mel import BANDS, mel_slice
from tasks.nets.articulation_net import REACH, ArticulationNet, VoiceNet, evened
from tasks.training.voice.examples import Example
from tasks.training.voice.train import likeness, smooth

Array = NDArray[np.float32]
Rng = np.random.Generator

_WINDOW: Final = 200
_MEASURED, _SYNTHETIC = 12, 6  # windows a step
_SYNTHETIC_WEIGHT: Final = 0.5
_WIDTH_WEIGHT: Final = 0.3
_DROPPED: Final = 0.2  # share of hidden channels
#: Logarithm of how far up its bands a voice is moved, mean and deviation: mostly to smaller throats than those that
#: teach, for two thirds of what they say is men's. Evenly to both sides teaches the unseen less (0.54 for 0.57).
_THROAT: Final = (0.08, 0.08)


@dataclass(frozen=True)
class Stretch:
    """A stretch of speech and its mouth."""

    level: Array
    "(80, T + 2 * REACH) as the networks are shown it"
    deviation: Array
    "(80,) mel units that a step of the level stands for"
    wanted: Array
    "(2, T) opening and width"


@dataclass(frozen=True)
class _Course:
    """How one network is taught."""

    hears: Callable[[Tensor, Tensor], Tensor]
    "its input from levels (N, 80, T) and deviations (N, 80)"
    phonetic: str
    "the network of `VoiceNet` that it learns on from; empty: from nothing"
    longer: float
    "steps over those asked for"
    rate: float


def amplitudes(level: Tensor, deviation: Tensor) -> Tensor:
    """The other input of `net_inputs`, from the level (N, 80, T)."""
    steps = float(HALF_NATURAL) * deviation[:, :, None]
    return (2 * torch.exp(steps * level - steps**2) - 1).clamp(-1, 8)


#: What each of the measured networks hears and whence it comes, in their order.
_COURSES: Final = (
    _Course(amplitudes, "amplitude", 1.0, 1e-3),
    _Course(lambda level, _: evened(level), "", 4 / 3, 2e-3),
)


def learn_mouths(
    net: VoiceNet,
    clips: Sequence[Example],
    synthetic: Sequence[Example],
    *,
    steps: int,
    seed: int,
    say: Callable[[str], None],
) -> None:
    """Trains the measured networks of `net` in place, from clips and synthetic speech."""
    measured, spoken = [_stretch(example) for example in clips], [_stretch(example) for example in synthetic]
    for index, (part, course) in enumerate(zip(net.measured, _COURSES, strict=True)):
        assert isinstance(part, ArticulationNet)
        torch.manual_seed(seed + index)
        fresh = getattr(net, course.phonetic) if course.phonetic else ArticulationNet()
        part.load_state_dict(fresh.state_dict())
        loss = _descend(part, course, (measured, spoken), steps, np.random.default_rng(seed + index))
        say(f"measured network {index + 1} of {len(_COURSES)}: loss {loss:.3f}")


def _descend(
    part: ArticulationNet, course: _Course, stretches: tuple[Sequence[Stretch], Sequence[Stretch]], steps: int, rng: Rng
) -> float:
    clips, spoken = stretches
    steps = max(round(steps * course.longer), 1)
    part.requires_grad_(True)
    optimiser = torch.optim.AdamW(part.parameters(), course.rate, weight_decay=3e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    lengths = np.array([clip.wanted.shape[1] for clip in clips]) ** 0.5
    for _ in range(steps):
        real = [_disturbed_window(clips[i], rng) for i in rng.choice(len(clips), _MEASURED, p=lengths / lengths.sum())]
        made = [_window(spoken[i], rng, _WINDOW) for i in rng.integers(len(spoken), size=_SYNTHETIC)]
        loss = _loss(part, course, real, 0.15) + _SYNTHETIC_WEIGHT * _loss(part, course, made, 0.1)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return float(loss.detach())


def _loss(part: ArticulationNet, course: _Course, windows: Sequence[Stretch], noise: float) -> Tensor:
    levels, deviations, wanted = (
        torch.from_numpy(np.stack([getattr(window, name) for window in windows]))
        for name in ("level", "deviation", "wanted")
    )
    shown = course.hears(levels, deviations)
    answer = part.head(F.dropout1d(part.layers(shown + noise * torch.randn_like(shown)), _DROPPED))
    everywhere = torch.ones_like(wanted[:, 0])
    opening = likeness(answer[:, 0], wanted[:, 0], everywhere)
    return opening + _WIDTH_WEIGHT * likeness(answer[:, 2], wanted[:, 1], everywhere)


def _stretch(example: Example) -> Stretch:
    columns, statistics = example.mel.shape[1], example.statistics
    level, _ = net_inputs(mel_slice(example.mel, -REACH, columns + 2 * REACH), statistics)
    _, deviation = statistics.mean_and_deviation(above=speech_floor(statistics))
    wanted = [example.curves.opening, example.curves.width]
    curves = np.stack([smooth(curve) if example.measured else curve for curve in wanted]).astype(np.float32)
    return Stretch(level, np.maximum(deviation, 0.2).astype(np.float32), curves)


def _window(stretch: Stretch, rng: Rng, columns: int) -> Stretch:
    """`columns` of a stretch from a random place; what is too short repeats its last column."""
    start = int(rng.integers(max(stretch.wanted.shape[1] - columns, 0) + 1))
    level, wanted = stretch.level[:, start : start + columns + 2 * REACH], stretch.wanted[:, start : start + columns]
    missing = ((0, 0), (0, columns - wanted.shape[1]))
    return Stretch(np.pad(level, missing, mode="edge"), stretch.deviation, np.pad(wanted, missing, mode="edge"))


def _disturbed_window(stretch: Stretch, rng: Rng) -> Stretch:
    pace = float(np.exp(rng.normal(0, 0.1)))
    window = _window(stretch, rng, int(_WINDOW * pace) + 4)
    shown = np.clip((np.arange(_WINDOW + 2 * REACH) - REACH) * pace + REACH, 0, window.level.shape[1] - 1)
    level = disturb(_at(window.level, shown), rng)
    return Stretch(level, stretch.deviation, _at(window.wanted, np.arange(_WINDOW) * pace))


def disturb(level: Array, rng: Rng) -> Array:
    """The same speech (80, T) of another voice, through another microphone, with noise, two gaps in its bands."""
    bands = np.clip(np.arange(BANDS) / np.exp(rng.normal(*_THROAT)) + rng.normal(0, 3), 0, BANDS - 1)
    shifted = _at(level.T, bands.astype(np.float64)).T
    heard = shifted + _over_bands(rng.normal(0, 0.4, 7)) + rng.normal(0, 0.3)
    if rng.random() < 0.5:
        floor = rng.normal(-1.8, 0.7) + _over_bands(rng.normal(0, 1, 5)) / 3
        heard = np.logaddexp(3 * heard, 3 * floor) / 3
    for _ in range(2):
        first = int(rng.integers(BANDS - 8))
        heard[first : first + int(rng.integers(8))] = 0
    return heard.astype(np.float32)


def _over_bands(knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """(80, 1) a smooth curve over the bands through evenly spaced knots."""
    return np.asarray(np.interp(np.arange(BANDS), np.linspace(0, BANDS - 1, len(knots)), knots)[:, None], np.float64)


def _at(values: Array, places: NDArray[np.floating]) -> Array:
    """Values (C, T) at fractional columns, linear between them."""
    low = np.minimum(places.astype(np.int64), values.shape[1] - 1)
    part = (places - low).astype(np.float32)
    high = np.minimum(low + 1, values.shape[1] - 1)
    return np.asarray(values[:, low] * (1 - part) + values[:, high] * part, np.float32)
