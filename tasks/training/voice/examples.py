"""What the networks learn from: mel columns with what the mouth does, from espeak-ng and from clips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.mel import COLUMNS_PER_SECOND, HOP_SAMPLES, SAMPLE_RATE, MelStatistics, columns_in, mel_spectrogram
from tasks.training.voice.augment import augment, disturbance, pace
from tasks.training.voice.clips import Clip
from tasks.training.voice.corpus import utterances
from tasks.training.voice.espeak import Utterance
from tasks.training.voice.phones import MouthCurves, Phoneme, mouth_curves

Array = NDArray[np.float32]
Rng = np.random.Generator

#: How much louder speech opens the mouth: opening grows with this power of the amplitude.
_EMPHASIS_POWER: Final = 0.5
_EMPHASIS_DECIBELS: Final = 5.0


@dataclass(frozen=True)
class Example:
    """A stretch of sound and its mouth."""

    mel: Array
    "(80, T)"
    statistics: MelStatistics
    "of the whole sound that the stretch was taken from"
    curves: MouthCurves
    "(T,) each"
    measured: bool
    "from a clip: closure is not known, opening and width are in the speaker's own range"


def synthetic_examples(count: int, seed: int) -> list[Example]:
    """`count` utterances, each as spoken and once disturbed, and an eighth as many without any voice."""
    rng = np.random.default_rng(seed)
    spoken = list(utterances(count, seed))
    voices = [utterance.samples for utterance in spoken]
    examples = [
        _spoken(utterance, voices, rng, disturbed=disturbed) for utterance in spoken for disturbed in (False, True)
    ]
    return examples + [_voiceless(voices, rng) for _ in range(count // 8)]


def clip_examples(clips: Sequence[Clip], offsets: dict[str, float]) -> dict[str, Example]:
    """Each clip as it is, by name; `offsets` are seconds of sound after picture."""
    return {clip.name: _measured(clip, offsets[clip.name]) for clip in clips}


def _spoken(utterance: Utterance, voices: Sequence[Array], rng: Rng, *, disturbed: bool) -> Example:
    factor = float(np.exp(rng.normal(0, 0.1)))
    samples = pace(utterance.samples, factor)
    curves = mouth_curves(list(_paced(utterance.phonemes, factor)), columns_in(len(samples)))
    samples, curves = _emphasise(samples, curves, rng)
    samples = augment(samples, voices, rng) if disturbed else samples
    return _example(samples, curves, measured=False)


def _paced(phonemes: Sequence[Phoneme], factor: float) -> Iterator[Phoneme]:
    for phoneme in phonemes:
        yield Phoneme(phoneme.ipa, phoneme.start_seconds / factor, phoneme.end_seconds / factor)


def _emphasise(samples: Array, curves: MouthCurves, rng: Rng) -> tuple[Array, MouthCurves]:
    """Syllables made louder and softer, the mouth opening with them: espeak-ng hardly does it itself."""
    knots = len(samples) * 3 // SAMPLE_RATE + 2
    places = np.linspace(0, knots - 1, len(samples))
    decibels = np.interp(places, np.arange(knots), rng.normal(0, _EMPHASIS_DECIBELS, knots))
    columns = np.minimum(np.arange(len(curves.opening)) * HOP_SAMPLES, len(samples) - 1)
    opening = curves.opening * 10 ** (_EMPHASIS_POWER * decibels[columns] / 20)
    louder = (samples * 10 ** (decibels / 20)).astype(np.float32)
    return louder, replace(curves, opening=np.clip(opening, 0, 1.5).astype(np.float32))


def _voiceless(voices: Sequence[Array], rng: Rng) -> Example:
    """Noise, music or many voices far away, or digital silence: the mouth rests."""
    count = 8 * SAMPLE_RATE
    samples = disturbance(count, voices, rng) if rng.random() < 0.8 else np.zeros(count, np.float32)
    gain = 10 ** (rng.uniform(-30, 0) / 20) / max(float(np.abs(samples).max()), 1e-6)
    rest = np.zeros(columns_in(count), np.float32)
    return _example(samples * np.float32(gain), MouthCurves(rest, rest, rest, rest), measured=False)


def _measured(clip: Clip, offset: float) -> Example:
    times = np.arange(columns_in(len(clip.samples))) / COLUMNS_PER_SECOND - offset
    opening = np.interp(times, clip.times, _in_range(clip.parting, 0, 1)).astype(np.float32)
    width = np.interp(times, clip.times, _in_range(clip.width, -1, 1)).astype(np.float32)
    unknown = np.zeros_like(opening)
    inside = np.flatnonzero((times >= clip.times[0]) & (times <= clip.times[-1]))
    whole = _example(clip.samples, MouthCurves(opening, unknown, width, unknown), measured=True)
    return _cut(whole, slice(int(inside[0]), int(inside[-1]) + 1))


def _in_range(values: Array, low: float, high: float) -> Array:
    """A measured curve with its 5th and 95th percentile at `low` and `high`."""
    first, last = np.quantile(values, [0.05, 0.95])
    scaled = (values - first) / max(last - first, 1e-6) * (high - low) + low
    beyond = 0.3 * (high - low)
    return np.asarray(np.clip(scaled, low - beyond, high + beyond), np.float32)


def _cut(example: Example, kept: slice) -> Example:
    curves = example.curves
    parts = MouthCurves(curves.opening[kept], curves.closure[kept], curves.width[kept], curves.speech[kept])
    return replace(example, mel=example.mel[:, kept], curves=parts)


def _example(samples: Array, curves: MouthCurves, *, measured: bool) -> Example:
    mel = mel_spectrogram(samples)
    return Example(mel, MelStatistics.of(mel), curves, measured)
