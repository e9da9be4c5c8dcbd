"""Teaching the measured networks by descent: clips disturbed in their mel columns, synthetic speech among them.

A minute of clips teaches a network little that holds for the next speaker unless no two of its steps
hear the same voice: so each window gets other formants, another microphone, room noise and pace.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from tasks.lip_sync.voice import net_inputs
from tasks.mel import BANDS, mel_slice
from tasks.nets.articulation_net import REACH, ArticulationNet, VoiceNet
from tasks.training.voice.examples import Example
from tasks.training.voice.train import likeness, smooth

Array = NDArray[np.float32]
Rng = np.random.Generator
#: Level inputs (80, T + 2 * REACH); opening and width (2, T).
Pair = tuple[Array, Array]

_WINDOW: Final = 200
_MEASURED, _SYNTHETIC = 12, 6  # windows a step
_SYNTHETIC_WEIGHT: Final = 0.5
_WIDTH_WEIGHT: Final = 0.3
_DROPPED: Final = 0.2  # share of hidden channels
#: By network: learns on from phonetics, or from nothing; steps over the asked, learning rate.
_COURSES: Final = ((True, 1.0, 1e-3), (False, 4 / 3, 2e-3))


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
    measured, spoken = [_pair(example) for example in clips], [_pair(example) for example in synthetic]
    for index, (part, (onward, longer, rate)) in enumerate(zip(net.measured, _COURSES, strict=True)):
        assert isinstance(part, ArticulationNet)
        torch.manual_seed(seed + index)
        fresh = ArticulationNet()
        part.load_state_dict((net.level if onward else fresh).state_dict())
        loss = _descend(
            part, measured, spoken, max(round(steps * longer), 1), rate, np.random.default_rng(seed + index)
        )
        say(f"measured network {index + 1} of {len(_COURSES)}: loss {loss:.3f}")


def _descend(
    part: ArticulationNet, clips: Sequence[Pair], spoken: Sequence[Pair], steps: int, rate: float, rng: Rng
) -> float:
    optimiser = torch.optim.AdamW(part.parameters(), rate, weight_decay=3e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    lengths = np.array([wanted.shape[1] for _, wanted in clips]) ** 0.5
    for _ in range(steps):
        real = [_disturbed_window(clips[i], rng) for i in rng.choice(len(clips), _MEASURED, p=lengths / lengths.sum())]
        made = [_window(spoken[i], rng, _WINDOW) for i in rng.integers(len(spoken), size=_SYNTHETIC)]
        loss = _loss(part, _noisy(real, 0.15), _stack(real, 1)) + _SYNTHETIC_WEIGHT * _loss(
            part, _noisy(made, 0.1), _stack(made, 1)
        )
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return float(loss.detach())


def _loss(part: ArticulationNet, shown: Tensor, wanted: Tensor) -> Tensor:
    answer = part.head(F.dropout1d(part.layers(shown), _DROPPED))
    everywhere = torch.ones_like(wanted[:, 0])
    opening = likeness(answer[:, 0], wanted[:, 0], everywhere)
    return opening + _WIDTH_WEIGHT * likeness(answer[:, 2], wanted[:, 1], everywhere)


def _pair(example: Example) -> Pair:
    columns = example.mel.shape[1]
    level, _ = net_inputs(mel_slice(example.mel, -REACH, columns + 2 * REACH), example.statistics)
    wanted = [example.curves.opening, example.curves.width]
    return level, np.stack([smooth(curve) if example.measured else curve for curve in wanted]).astype(np.float32)


def _window(pair: Pair, rng: Rng, columns: int) -> Pair:
    """`columns` of an example from a random place; what is too short repeats its last column."""
    level, wanted = pair
    start = int(rng.integers(max(wanted.shape[1] - columns, 0) + 1))
    level, wanted = level[:, start : start + columns + 2 * REACH], wanted[:, start : start + columns]
    missing = ((0, 0), (0, columns - wanted.shape[1]))
    return np.pad(level, missing, mode="edge"), np.pad(wanted, missing, mode="edge")


def _disturbed_window(pair: Pair, rng: Rng) -> Pair:
    pace = float(np.exp(rng.normal(0, 0.1)))
    level, wanted = _window(pair, rng, int(_WINDOW * pace) + 4)
    shown = np.clip((np.arange(_WINDOW + 2 * REACH) - REACH) * pace + REACH, 0, level.shape[1] - 1)
    return disturb(_at(level, shown), rng), _at(wanted, np.arange(_WINDOW) * pace)


def disturb(level: Array, rng: Rng) -> Array:
    """The same speech (80, T) of another voice, through another microphone, with noise, two gaps in its bands."""
    bands = np.clip(np.arange(BANDS) * np.exp(rng.normal(0, 0.05)) + rng.normal(0, 3), 0, BANDS - 1)
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


def _noisy(pairs: Sequence[Pair], amount: float) -> Tensor:
    shown = _stack(pairs, 0)
    return shown + amount * torch.randn_like(shown)


def _stack(pairs: Sequence[Pair], which: int) -> Tensor:
    return torch.from_numpy(np.stack([pair[which] for pair in pairs]))
