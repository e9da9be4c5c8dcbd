"""Mel spectrograms of 16 kHz mono sound, 80 columns a second, whole or in blocks.

The features are those of Wav2Lip (`audio.py`, `hparams.py`), with zero padding at the true ends.
All work is done in fixed groups of columns on an absolute grid, so that a stream gives the same
bits as the whole at once.  Knows samples and columns; knows no files, clocks or networks.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SAMPLE_RATE: Final = 16_000
HOP_SAMPLES: Final = 200
WINDOW_SAMPLES: Final = 800
BANDS: Final = 80
COLUMNS_PER_SECOND: Final = SAMPLE_RATE // HOP_SAMPLES
LOWEST_HZ: Final = 55.0
HIGHEST_HZ: Final = 7600.0
PRE_EMPHASIS: Final = 0.97
#: The value of digital silence: the floor of the scale.
SILENCE: Final = -4.0
SILENT_COLUMN: Final = np.full((BANDS, 1), SILENCE, np.float32)

_GROUP_COLUMNS: Final = 256
_CENTRE: Final = WINDOW_SAMPLES // 2


def columns_in(samples: int) -> int:
    """How many columns so many samples give."""
    return 1 + samples // HOP_SAMPLES if samples else 0


def mel_spectrogram(samples: Array) -> Array:
    """(80, columns_in(S)) in -4..4 from (S,) samples, full scale being 1."""
    stream = MelStream()
    return np.concatenate([stream.push(samples), stream.finish()], axis=1)


class MelStream:
    """Blocks of samples become columns, bit-equal to `mel_spectrogram` of all samples together.

    Holds about four seconds of sound, whatever the length of the whole.
    """

    def __init__(self) -> None:
        self._held = np.zeros(_CENTRE, np.float32)  # emphasised samples from the next group's start
        self._last = np.float32(0)
        self._samples = 0
        self._columns = 0

    @property
    def held_samples(self) -> int:
        """How much sound waits for its columns."""
        return len(self._held)

    def push(self, samples: Array) -> Array:
        """(80, n) the columns that became complete; n may be 0."""
        if samples.ndim != 1:
            raise ValueError(f"mel features of samples: found shape {samples.shape}, expected (S,) mono")
        pieces = [self._push(samples[i : i + SAMPLE_RATE]) for i in range(0, len(samples), SAMPLE_RATE)]
        return np.concatenate([_nothing(), *pieces], axis=1)

    def finish(self) -> Array:
        """(80, n) the last columns; nothing can be pushed after it."""
        missing = columns_in(self._samples) - self._columns
        needed = (_GROUP_COLUMNS - 1) * HOP_SAMPLES + WINDOW_SAMPLES
        padded = np.zeros(needed, np.float32)
        groups = [_nothing()]
        while missing > 0:
            padded[:] = 0
            padded[: len(self._held)] = self._held[:needed]
            groups.append(_group(padded)[:, :missing])
            self._held = self._held[_GROUP_COLUMNS * HOP_SAMPLES :]
            missing -= _GROUP_COLUMNS
        return np.concatenate(groups, axis=1)

    def _push(self, samples: Array) -> Array:
        samples = np.nan_to_num(samples.astype(np.float32, copy=False), nan=0.0, posinf=0.0, neginf=0.0)
        before = np.concatenate([[self._last], samples[:-1]]).astype(np.float32)
        self._held = np.concatenate([self._held, samples - np.float32(PRE_EMPHASIS) * before])
        self._last = samples[-1]
        self._samples += len(samples)
        needed = (_GROUP_COLUMNS - 1) * HOP_SAMPLES + WINDOW_SAMPLES
        groups = [_nothing()]
        while len(self._held) >= needed:
            groups.append(_group(self._held[:needed]))
            self._held = self._held[_GROUP_COLUMNS * HOP_SAMPLES :]
            self._columns += _GROUP_COLUMNS
        return np.concatenate(groups, axis=1)


def _nothing() -> Array:
    return np.zeros((BANDS, 0), np.float32)


def _group(emphasised: Array) -> Array:
    """(80, 256) columns of the samples under them; the shapes never vary, so neither do the bits."""
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, WINDOW_SAMPLES)[::HOP_SAMPLES]
    magnitude = np.abs(np.fft.rfft(frames * _window(), axis=1))  # (256, 401)
    mel = mel_filters() @ magnitude.astype(np.float32).T
    decibels = 20 * np.log10(np.maximum(np.float32(1e-5), mel)) - 20
    scaled: Array = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4).astype(np.float32)
    return scaled


@cache
def _window() -> Array:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW_SAMPLES) / WINDOW_SAMPLES)).astype(np.float32)


@cache
def mel_filters() -> Array:
    """(80, 401) triangles on Slaney's scale, each of unit area (Auditory Toolbox, 1998; as librosa)."""
    low, high = _mel_of(LOWEST_HZ), _mel_of(HIGHEST_HZ)
    edges = _hz_of(np.linspace(low, high, BANDS + 2))
    bins = np.linspace(0, SAMPLE_RATE / 2, WINDOW_SAMPLES // 2 + 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


_LINEAR_HZ: Final = 200 / 3  # a mel below 1 kHz
_LOG_STEP: Final = np.log(6.4) / 27  # a mel above it


def _mel_of(hz: float) -> float:
    return hz / _LINEAR_HZ if hz < 1000 else 15 + float(np.log(hz / 1000)) / _LOG_STEP


def _hz_of(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(mel < 15, mel * _LINEAR_HZ, 1000 * np.exp(_LOG_STEP * (mel - 15)))


def chunk_starts(columns: int, frame_rate: Fraction, width: int = 16) -> NDArray[np.int64]:
    """First column of each frame's mel chunk as Wav2Lip counts them, exact for any length.

    Frame i starts at floor(i * 80 / frame_rate); the first that would pass the end is moved back to
    end there and is the last (Wav2Lip `inference.py:main`).
    """
    step = COLUMNS_PER_SECOND / frame_rate
    fitting = 1 + int((columns - width + 1) / step)  # frames from 0 that may still fit
    frames = np.arange(max(fitting, 0) + 1, dtype=np.int64)
    starts = frames * step.numerator // step.denominator
    starts = starts[starts + width <= columns]
    return np.append(starts, max(columns - width, 0)).astype(np.int64)


def mel_slice(mel: Array, start: int, columns: int) -> Array:
    """(80, columns) from column `start`, which may lie outside; silence only beyond the true ends."""
    total = mel.shape[1]
    inside = np.asarray(mel[:, min(max(start, 0), total) : min(max(start + columns, 0), total)])
    left = min(max(-start, 0), columns)
    right = columns - left - inside.shape[1]
    return np.concatenate([SILENT_COLUMN.repeat(left, 1), inside, SILENT_COLUMN.repeat(right, 1)], axis=1)


_FIXED: Final = 4096  # statistics sum integers of 1/4096 unit: exact, so in any order the same
_LEVELS: Final = 128  # bins of 1/16 unit (0.78 dB)


@dataclass(frozen=True)
class MelStatistics:
    """What a whole sound is like, gathered block by block; `a + b` is exact and has no order.

    Sums are kept by the level of the column, so that one pass serves questions asked afterwards
    ("the mean over what is louder than this").
    """

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_LEVELS, np.int64))
    "(128,) columns by level; the level of a column is the mean of its bands"
    sums: NDArray[np.int64] = field(default_factory=lambda: np.zeros((_LEVELS, BANDS), np.int64))
    "(128, 80) fixed-point sums of the bands"
    squares: NDArray[np.int64] = field(default_factory=lambda: np.zeros((_LEVELS, BANDS), np.int64))
    "(128, 80) fixed-point sums of their squares"

    @classmethod
    def of(cls, mel: Array) -> "MelStatistics":
        """The statistics of (80, T) columns, in bounded memory."""
        blocks = range(0, mel.shape[1], 4096)
        return sum((cls._of_block(mel[:, start : start + 4096]) for start in blocks), cls())

    @classmethod
    def _of_block(cls, mel: Array) -> "MelStatistics":
        fixed = np.rint(mel.T * np.float32(_FIXED)).astype(np.int64)  # (T, 80)
        bins = _level_bins(fixed)
        found = cls()
        np.add.at(found.counts, bins, 1)
        np.add.at(found.sums, bins, fixed)
        np.add.at(found.squares, bins, fixed * fixed)
        return found

    def __add__(self, other: "MelStatistics") -> "MelStatistics":
        return MelStatistics(self.counts + other.counts, self.sums + other.sums, self.squares + other.squares)

    def level_quantile(self, quantile: float, *, above: float = SILENCE) -> float:
        """The level that this share of the columns above `above` does not exceed (bin centres)."""
        centres = level_of_bins()
        counts = np.where(centres > above, self.counts, 0)
        if not counts.any():
            return SILENCE
        return float(centres[np.searchsorted(np.cumsum(counts), quantile * counts.sum())])

    def mean_and_deviation(self, *, above: float = SILENCE) -> tuple[Array, Array]:
        """(80,) mean and standard deviation of each band over the columns above a level.

        Where there are none: the mean of silence and a deviation of 1.
        """
        loud = level_of_bins() > above
        count = int(self.counts[loud].sum())
        if count == 0:
            return SILENT_COLUMN[:, 0], np.ones(BANDS, np.float32)
        mean = self.sums[loud].sum(0) / (count * _FIXED)
        variance = self.squares[loud].sum(0) / (count * _FIXED**2) - mean**2
        return mean.astype(np.float32), np.sqrt(np.maximum(variance, 0)).astype(np.float32)


def level_of_bins() -> NDArray[np.float64]:
    """(128,) the level at the centre of each bin of `MelStatistics`."""
    return np.asarray(SILENCE + (np.arange(_LEVELS) + 0.5) * (8 / _LEVELS), np.float64)


def column_levels(mel: Array) -> NDArray[np.float64]:
    """(T,) the level of each column: the mean of its bands, in exact arithmetic."""
    fixed = np.rint(mel.T * np.float32(_FIXED)).astype(np.int64)
    return np.asarray(fixed.sum(1) / (BANDS * _FIXED), np.float64)


def _level_bins(fixed: NDArray[np.int64]) -> NDArray[np.int64]:
    bins = (fixed.sum(1) + 4 * BANDS * _FIXED) * _LEVELS // (8 * BANDS * _FIXED)
    return np.asarray(np.clip(bins, 0, _LEVELS - 1), np.int64)
