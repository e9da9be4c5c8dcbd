"""How far mouths are from sounds that lie up to 15 frames away, and what that says; pure arithmetic.

As SyncNet is evaluated (Chung and Zisserman 2016; joonson/syncnet_python SyncNetInstance.py `evaluate`, which
Rudrabha/Wav2Lip evaluation/ calls LSE-D and LSE-C): 25 frames a second, windows of five, distances averaged over all
windows at each shift; LSE-D is the least of them, LSE-C the median less the least.  Two things differ, so that figures
are not those of papers: the network is Wav2Lip's own colour SyncNet, whose directions have length 1, and beyond the
ends there is silence, not zeros.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.offset import Offset
from tasks.lip_sync.syncnet.expert import Expert
from tasks.mel import COLUMNS_PER_SECOND, mel_slice

#: Pictures a second, pictures of a window, and shifts to either side.
RATE: Final = 25
WINDOW: Final = 5
SHIFTS: Final = 15
#: Mel columns that a window hears: 200 ms.
COLUMNS: Final = 16
#: A rival lies farther away than this many shifts.
_RIVAL: Final = 3
#: Independent looks a second: a mouth moves in syllables.
_LOOKS_PER_SECOND: Final = 4.5
_ROUNDING_COLUMNS: Final = 1e-6

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """How mouths and sound go together."""

    offset: Offset
    "where they agree best; `correlation` is the mean cosine there"
    lse_d: float
    "mean distance there, 0 the same direction .. 2 the opposite"
    lse_c: float
    "how much nearer that is than the median shift"


def sampled(seconds: Array) -> tuple[NDArray[np.int64], Array]:
    """Frames nearest to 25 times a second from the first of `seconds` (n,) to the last, and those times."""
    if not len(seconds):
        return np.zeros(0, np.int64), np.zeros(0)
    count = int((seconds[-1] - seconds[0]) * RATE + 1e-6) + 1
    times = seconds[0] + np.arange(count) / RATE
    return np.searchsorted((seconds[1:] + seconds[:-1]) / 2, times), times


def distances(expert: Expert, mouths: NDArray[np.uint8], seconds: Array, mel: NDArray[np.floating]) -> Array:
    """(W, 31) of each window to the sounds 15 shifts before it .. 15 after it.

    `mouths` (n, 48, 96, 3) are shown at `seconds` (n,), from column 0 of `mel` (80, T) on.
    """
    frames, times = sampled(seconds)
    windows = len(frames) - WINDOW + 1
    if windows < 1:
        return np.zeros((0, 2 * SHIFTS + 1))
    seen = expert.faces(mouths[frames[np.arange(windows)[:, None] + np.arange(WINDOW)]])
    starts = times[0] + np.arange(-SHIFTS, windows + SHIFTS) / RATE
    first = np.floor(starts * COLUMNS_PER_SECOND + _ROUNDING_COLUMNS).astype(int).tolist()
    whole = np.asarray(mel, np.float32)
    heard = expert.sounds(np.stack([mel_slice(whole, at, COLUMNS) for at in first]))
    near = heard[np.arange(windows)[:, None] + np.arange(2 * SHIFTS + 1)]  # (W, 31, D)
    return np.asarray(np.linalg.norm(near.astype(np.float64) - seen[:, None], axis=2))


def agreement(found: Sequence[Array]) -> Agreement | None:
    """What the distances of all runs say together; None where there are none."""
    every = np.concatenate([np.zeros((0, 2 * SHIFTS + 1)), *found])
    if not len(every):
        return None
    mean = every.mean(0)
    best = int(np.argmin(mean))
    least = float(mean[best])
    offset = Offset((best - SHIFTS) / RATE, _confidence(every, best), 1 - float((every[:, best] ** 2).mean()) / 2)
    return Agreement(offset, least, float(np.median(mean)) - least)


def _confidence(every: Array, best: int) -> float:
    """Probability that this shift is nearer than any that lies apart; 0.5 is a guess."""
    far = np.flatnonzero(np.abs(np.arange(every.shape[1]) - best) > _RIVAL)
    rival = far[int(np.argmin(every[:, far].mean(0)))]
    gains = every[:, rival] - every[:, best]
    looks = max(_LOOKS_PER_SECOND * len(every) / RATE, 1.0)
    z = float(gains.mean()) / max(float(gains.std()), 1e-6) * sqrt(looks)
    return 0.5 * (1 + erf(z / sqrt(2)))
