"""How good the voice networks are: on speakers left out, on phonemes, in silence."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.lip_sync.offset import Offset, estimate_offset
from tasks.lip_sync.voice import Articulation, articulate
from tasks.mel import MelStatistics, columns_in, mel_spectrogram
from tasks.nets.articulation_net import VoiceNet
from tasks.training.voice.clips import Clip
from tasks.training.voice.espeak import Utterance
from tasks.training.voice.phones import BILABIAL, mouth_curves

Array = NDArray[np.float32]


@dataclass(frozen=True)
class SpokenFigures:
    """On synthetic utterances not trained on; their languages and voices overlap with training."""

    correlation: float
    "of opening with the phonemes' own, mean over utterances"
    closure_auc: float
    "of closure against the bilabials' columns"
    bilabials_closed: float
    "share of m, b, p during which the opening falls under 0.15"
    opening_in_pauses: float
    "mean opening in pauses of 200 ms and more, their first and last 75 ms left out"
    opening_in_vowels: float
    "mean opening at the middle of open vowels"


def voice_of(samples: Array, net: VoiceNet) -> Articulation:
    """The articulation of a whole sound."""
    mel = mel_spectrogram(samples)
    return articulate(mel, MelStatistics.of(mel), net=net)


def clip_offset(clip: Clip, net: VoiceNet) -> Offset:
    """Where the voice of a clip fits its measured mouth best, and how well."""
    return estimate_offset(voice_of(clip.samples, net).opening, clip.opening, clip.times)


def spoken_figures(utterances: Sequence[Utterance], net: VoiceNet) -> SpokenFigures:
    """The figures over clean utterances."""
    rows = [_spoken(utterance, voice_of(utterance.samples, net)) for utterance in utterances]
    return SpokenFigures(*(float(np.nanmean([row[i] for row in rows])) for i in range(5)))


def _spoken(utterance: Utterance, said: Articulation) -> tuple[float, float, float, float, float]:
    curves = mouth_curves(list(utterance.phonemes), columns_in(len(utterance.samples)))
    closed, pauses, vowels = [], [], []
    for phoneme in utterance.phonemes:
        span = said.opening[round(phoneme.start_seconds * 80) : round(phoneme.end_seconds * 80) + 1]
        if BILABIAL & set(phoneme.ipa) and len(span):
            closed.append(float(span.min() < 0.15))
        elif not phoneme.ipa.strip("_:ː ") and len(span) >= 16:
            pauses.append(float(span[6:-6].mean()))
        elif set("aɑæ") & set(phoneme.ipa) and len(span):
            vowels.append(float(span[len(span) // 2]))
    correlation = float(np.corrcoef(said.opening, curves.opening)[0, 1])
    area = auc(said.closure, curves.closure)
    return correlation, area, _mean(closed), _mean(pauses), _mean(vowels)


def auc(scores: Array, labels: Array) -> float:
    """The probability that a column with the label scores above one without."""
    places = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
    positive = labels > 0.5
    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return float("nan")
    return float((places[positive].mean() - (count - 1) / 2) / others)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
