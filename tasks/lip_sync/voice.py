"""From a voice to the mouth: mel columns become opening, closure and width, 80 times a second.

Small networks of our own (tasks/training/voice made them) read what is heard around each column.
Columns are computed in fixed blocks on an absolute grid, so that any slice has the bits of the
whole.  Knows mel columns and seconds; knows no sound, pictures or faces.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from tasks.errors import WeightsError
from tasks.mel import BANDS, COLUMNS_PER_SECOND, MelStatistics, column_levels, mel_slice
from tasks.nets.articulation_net import REACH, VoiceNet
from tasks.task import OutputFrames, Voice

Array = NDArray[np.float32]
Times = NDArray[np.float64]

WEIGHTS: Final = Path(__file__).parents[1] / "weights" / "voice.safetensors"

_BLOCK_COLUMNS: Final = 1024
_SMOOTH_SIGMA: Final = 2.0  # columns: 25 ms, measured best against real mouths
_SMOOTH_REACH: Final = 6
_GATE_REACH: Final = 10
#: Columns to either side by which a voice is told from music: a second, and the lag below.
_HEARD: Final = 80
_LAG: Final = 8
_CONTEXT: Final = REACH + _GATE_REACH + _HEARD + _LAG
#: Sound this many mel units (12.5 dB each) under the loud columns is not the speaker.
_SPEECH_RANGE: Final = 2.6
#: A sound whose level varies less than this (4 dB) is steady: noise, hum or nothing, not speech.
_STEADY_RANGE: Final = 0.3
#: How steady sound is (see `voice_share`) that is surely a voice, and that is surely music.
_STEADINESS: Final = (0.39, 0.52)
#: Half the natural logarithm of the amplitude that a mel unit of 12.5 dB stands for.
HALF_NATURAL: Final = np.float32(0.5 * 12.5 / 20 * np.log(10))


@dataclass(frozen=True)
class Mouth:
    """What the mouth does in each output frame; all (N,) float32."""

    opening: Array
    "0 closed .. 1 as wide as this speaker opens"
    closure: Array
    "0..1 probability that the lips are pressed together (m, b, p) within the frame"
    width: Array
    "-1 rounded .. 0 at rest .. 1 spread"


@dataclass(frozen=True)
class Articulation:
    """What a voice asks of a mouth, one value a mel column; all (T,) float32, ranges as in `Mouth`."""

    opening: Array
    closure: Array
    width: Array

    def at(
        self,
        times_seconds: Times | Sequence[Fraction],
        durations_seconds: Times | Sequence[Fraction] | None = None,
        *,
        sync_offset_seconds: float = 0.0,
    ) -> Mouth:
        """The values of frames shown at `times_seconds`, averaged over each frame's duration.

        Times are seconds of the sound, rising; durations are the gaps to the next frame unless given
        (a slice of a variable-rate video must give them).  A positive sync offset makes the mouth
        later by that much.  The closure is the largest within the frame, so that no low frame rate
        loses a short one.  Beyond the ends of the sound the mouth rests.
        """
        times = np.array([float(t) for t in times_seconds], np.float64)
        durations = _gaps(times) if durations_seconds is None else np.array([float(d) for d in durations_seconds])
        half = np.maximum(durations, 1 / COLUMNS_PER_SECOND) / 2
        middle = times - sync_offset_seconds
        first, last = ((middle + side * half) * COLUMNS_PER_SECOND for side in (-1, 1))
        return Mouth(
            _average(self.opening, first, last),
            _largest(self.closure, first, last),
            _average(self.width, first, last),
        )


def articulate(
    mel: Array,
    statistics: MelStatistics,
    *,
    start: int = 0,
    stop: int | None = None,
    net: VoiceNet | None = None,
) -> Articulation:
    """What columns [start, stop) of a whole sound's mel spectrogram (80, T) ask of the mouth.

    `mel` may be a memory map; `statistics` are those of all T columns.  Runs on the CPU (some 10 ms a
    minute of sound).  Raises: ValueError on another shape; WeightsError where the weights are damaged.
    """
    if mel.ndim != 2 or mel.shape[0] != BANDS:
        raise ValueError(f"articulation of mel columns: found shape {mel.shape}, expected ({BANDS}, T)")
    stop = mel.shape[1] if stop is None else min(stop, mel.shape[1])
    net = net or load_voice_net()
    blocks = range(start // _BLOCK_COLUMNS, -(-stop // _BLOCK_COLUMNS))
    values = [np.zeros((3, 0), np.float32)]
    values += [_block(mel, statistics, net, index * _BLOCK_COLUMNS) for index in blocks]
    skipped = start - start // _BLOCK_COLUMNS * _BLOCK_COLUMNS
    opening, closure, width = np.concatenate(values, axis=1)[:, skipped : skipped + max(stop - start, 0)]
    return Articulation(opening, closure, width)


def asked_openings(voice: Voice, output: OutputFrames, offset_seconds: float) -> Array:
    """(n,) how far a voice wants a mouth open in each output frame; 0 where it rests."""
    spoken = articulate(voice.mel, MelStatistics.of(voice.mel))
    return spoken.at(output.start_seconds, output.duration_seconds, sync_offset_seconds=offset_seconds).opening


def _block(mel: Array, statistics: MelStatistics, net: VoiceNet, first: int) -> Array:
    """(3, block) finished values from column `first`; shapes never vary, so neither do the bits."""
    around = mel_slice(mel, first - _CONTEXT, _BLOCK_COLUMNS + 2 * _CONTEXT)
    raw = _raw(around, statistics, net)  # (3, block + 2 * _GATE_REACH)
    inner = slice(_GATE_REACH - _SMOOTH_REACH, _SMOOTH_REACH - _GATE_REACH)
    opening, width = (np.convolve(raw[i, inner], _smoothing(), mode="valid") for i in (0, 2))
    closure = raw[1, _GATE_REACH:-_GATE_REACH]
    speaking = speech_gate(around[:, REACH:-REACH], statistics)
    open_lips = np.clip(opening, 0, 1) * (1 - closure)
    finished = np.stack([open_lips * speaking, closure * speaking, np.clip(width, -1, 1) * speaking])
    heard = np.maximum(around[:, REACH + _GATE_REACH : -REACH - _GATE_REACH], speech_floor(statistics) - 1)
    kept = finished[:, _HEARD + _LAG : -_HEARD - _LAG] * voice_share(heard, finished[0], speaking > 0.5)
    return kept[:, : max(mel.shape[1] - first, 0)].astype(np.float32)


def _raw(around: Array, statistics: MelStatistics, net: VoiceNet) -> Array:
    """(3, T) opening and width in their ranges, closure probability; from (80, T + 2 * REACH)."""
    level, amplitude = (torch.from_numpy(shown)[None] for shown in net_inputs(around, statistics))
    with torch.inference_mode():
        opening, closure, width = net(level, amplitude)[0]
        return torch.stack([opening, torch.sigmoid(closure), width]).numpy()


def net_inputs(mel: Array, statistics: MelStatistics) -> tuple[Array, Array]:
    """What the networks are shown of (80, T) mel columns, normalised by the whole sound's loud columns.

    Level: decibels, each band by its mean and deviation.  Amplitude: the square root of the amplitude,
    each band by its root mean square (of a band that is normal in decibels).
    """
    mean, deviation = statistics.mean_and_deviation(above=speech_floor(statistics))
    level = np.clip((mel - mean[:, None]) / np.maximum(deviation, 0.2)[:, None], -6, 6)
    usual = np.exp(HALF_NATURAL * mean + (HALF_NATURAL * deviation) ** 2)
    roots = np.exp(HALF_NATURAL * mel) / np.maximum(usual, 1e-2)[:, None]
    return level.astype(np.float32), np.clip(2 * roots - 1, -1, 8).astype(np.float32)


def speech_floor(statistics: MelStatistics) -> float:
    """The column level under which nothing is the speaker: far below the loud columns, or silence."""
    return max(statistics.level_quantile(0.95, above=-3.9) - _SPEECH_RANGE, -3.9)


def speech_gate(mel: Array, statistics: MelStatistics) -> NDArray[np.float64]:
    """(T - 2 * 10,) 0 where the sound is silence or steady noise, 1 where a voice may be, 50 ms of ramp."""
    loud = statistics.level_quantile(0.95, above=-3.9)
    quiet = statistics.level_quantile(0.05, above=-5.0)
    if loud - quiet < _STEADY_RANGE:
        return np.zeros(mel.shape[1] - 2 * _GATE_REACH)
    floor = max(speech_floor(statistics), quiet + max(0.12 * (loud - quiet), 0.12))
    sounding = (column_levels(mel) > floor).astype(np.float64)
    widened = np.lib.stride_tricks.sliding_window_view(sounding, 9).max(1)  # 50 ms to either side
    ramp = np.hanning(2 * (_GATE_REACH - 4) + 3)[1:-1]
    return np.convolve(widened, ramp / ramp.sum(), mode="valid")


def voice_share(mel: Array, opening: NDArray[np.float64], sounding: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(T - 2 * 88,) 1 where a voice is heard, 0 where music is; from T mel columns, openings and where it sounds.

    The partials of tones stay where they are from one twelfth of a second to the next and leave the mouth at
    rest; a voice glides, and moves it.  So steadiness is the likeness of the spectrum's fine structure with that of
    `_LAG` columns before, less 0.27 of the logarithm of how fast the mouth would move, over a second to either
    side.  Both numbers are the rounded logistic regression of speech, alone and over music, against music.
    """
    fine = (mel - _mean_of_seven(mel))[2:45].astype(np.float64)
    now, before = fine[:, _LAG:], fine[:, :-_LAG]
    both = sounding[_LAG:] & sounding[:-_LAG]
    alike = _around((now * before).sum(axis=0) * both)
    likeness = alike / np.maximum(_around((now**2 + before**2).sum(axis=0) / 2 * both), 1e-9)
    columns = _around(sounding[_LAG:])
    moved = _around(np.abs(np.diff(opening))[_LAG - 1 :] * sounding[_LAG:])
    speed = COLUMNS_PER_SECOND * moved / np.maximum(columns, 1)  # openings a second
    steadiness = likeness - 0.27 * np.log(speed + 0.1)
    voice, music = _STEADINESS
    told = _ease((columns - 40) / 40)  # less than half a second tells nothing
    return np.asarray((1 - told * _ease((steadiness - voice) / (music - voice)))[:-_LAG])


def _around(values: NDArray[np.generic]) -> NDArray[np.float64]:
    """(T - 2 * _HEARD,) sums over `_HEARD` columns to either side."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.asarray(total[2 * _HEARD + 1 :] - total[: -2 * _HEARD - 1])


def _mean_of_seven(mel: Array) -> Array:
    """Each band's mean with the three below and the three above, the outermost repeated."""
    padded = np.concatenate([mel[:1]] * 3 + [mel] + [mel[-1:]] * 3)
    return np.asarray(np.mean([padded[i : i + len(mel)] for i in range(7)], axis=0), np.float32)


def _ease(t: NDArray[np.float64]) -> NDArray[np.float64]:
    t = np.clip(t, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def spoken_columns(mel: Array) -> NDArray[np.bool_]:
    """(T,) where a voice may be in a whole sound's mel columns (80, T), 50 ms before and after it too."""
    statistics = MelStatistics.of(mel)
    found = [np.zeros(0, np.bool_)]
    for at in range(0, mel.shape[1], _BLOCK_COLUMNS):
        columns = min(_BLOCK_COLUMNS, mel.shape[1] - at)
        around = mel_slice(mel, at - _GATE_REACH, columns + 2 * _GATE_REACH)
        found.append(speech_gate(around, statistics) > 0)
    return np.concatenate(found)


@cache
def load_voice_net(path: Path = WEIGHTS) -> VoiceNet:
    """The networks of a weights file; kept, so that each process reads it once."""
    net = VoiceNet()
    try:
        net.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        found = f"{type(error).__name__}: {error}"
        raise WeightsError(f"voice networks in {path}: found {found}; install reelyard again") from error
    return net.eval()


@cache
def _smoothing() -> NDArray[np.float64]:
    kernel = np.exp(-0.5 * (np.arange(-_SMOOTH_REACH, _SMOOTH_REACH + 1) / _SMOOTH_SIGMA) ** 2)
    return np.asarray(kernel / kernel.sum())


def _gaps(times: Times) -> Times:
    """The time from each frame to the next; the last lasts as long as the one before it."""
    if len(times) < 2:
        return np.full(len(times), 1 / 25)
    return np.append(np.diff(times), times[-1] - times[-2])


def _average(curve: Array, first: Times, last: Times) -> Array:
    """The mean of a curve, linear between columns and 0 beyond its ends, over [first, last] columns."""
    padded = np.concatenate([[0.0], curve.astype(np.float64), [0.0]])  # knot i is column i - 1
    integral = np.concatenate([[0.0], np.cumsum((padded[1:] + padded[:-1]) / 2)])

    def up_to(column: Times) -> Times:
        place = np.clip(column + 1, 0, len(padded) - 1)
        knot = np.minimum(place.astype(np.int64), len(padded) - 2)
        part = place - knot
        slope = padded[knot + 1] - padded[knot]
        return np.asarray(integral[knot] + part * padded[knot] + slope * part**2 / 2)

    return ((up_to(last) - up_to(first)) / (last - first)).astype(np.float32)


def _largest(curve: Array, first: Times, last: Times) -> Array:
    """The largest value at the columns within [first, last), or just after where there is none; 0 outside."""
    padded = np.concatenate([[0.0], curve, [0.0]]).astype(np.float32)
    end = len(padded) - 1
    start = np.clip(np.ceil(first).astype(np.int64) + 1, 0, end)
    stop = np.clip(np.ceil(last).astype(np.int64) + 1, start + 1, end + 1)
    pairs = np.stack([start, np.minimum(stop, end)], axis=1).ravel()
    found: Array = np.maximum.reduceat(padded, pairs)[::2] if len(pairs) else padded[:0]
    return found
