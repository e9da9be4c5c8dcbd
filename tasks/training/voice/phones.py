"""How the lips stand for each sound of speech: IPA symbols and times become mouth curves.

Phonetics textbook values, coarsened to three numbers a symbol; knows no sound and no files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.mel import COLUMNS_PER_SECOND

Array = NDArray[np.float32]

#: Symbols: (opening 0..1, width -1 rounded .. 1 spread).  What is not here is left out of a phoneme.
LIPS: Final = {
    **dict.fromkeys("aɑæäɶ", (1.0, 0.1)),
    **dict.fromkeys("ɐʌ", (0.78, 0.0)),
    **dict.fromkeys("ɛœ", (0.68, 0.3)),
    **dict.fromkeys("ɒɔ", (0.66, -0.5)),
    **dict.fromkeys("eɘ", (0.48, 0.6)),
    **dict.fromkeys("əɜɚɝɵ", (0.42, 0.0)),
    **dict.fromkeys("oɤ", (0.42, -0.7)),
    **dict.fromkeys("øʏ", (0.32, -0.6)),
    **dict.fromkeys("iɪɨᵻ", (0.25, 0.8)),
    **dict.fromkeys("uʊʉyɯ", (0.18, -0.9)),
    **dict.fromkeys("mbpɓ", (0.0, 0.0)),
    **dict.fromkeys("fvɱʋɸβ", (0.07, 0.1)),
    **dict.fromkeys("wʍɥ", (0.10, -1.0)),
    **dict.fromkeys("ʃʒɕʑʂʐ", (0.18, -0.5)),
    **dict.fromkeys("sz", (0.14, 0.4)),
    **dict.fromkeys("tdnʈɖɳ", (0.18, 0.2)),
    **dict.fromkeys("θð", (0.22, 0.1)),
    **dict.fromkeys("lɫrɾɹɻʁʀɭɽʎ", (0.26, 0.0)),
    **dict.fromkeys("kɡgŋxɣqχcɟçɲʝ", (0.28, 0.1)),
    **dict.fromkeys("jʲ", (0.22, 0.5)),
    **dict.fromkeys("hɦħʕʔ", (0.40, 0.1)),
}
BILABIAL: Final = frozenset("mbpɓ")
_LONG: Final = "ː"


@dataclass(frozen=True)
class Phoneme:
    """One sound; no symbol of `LIPS` in it means a pause."""

    ipa: str
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True)
class MouthCurves:
    """What the lips do, one value a mel column; all (T,) float32."""

    opening: Array
    closure: Array
    width: Array
    speech: Array
    "1 within sounds, 0 in pauses"


def mouth_curves(phonemes: Sequence[Phoneme], columns: int) -> MouthCurves:
    """The curves of a phoneme sequence, smoothed as lips move; pauses and what no phoneme covers rest."""
    opening, closure, width, speech = np.zeros((4, columns), np.float32)
    for phoneme in phonemes:
        symbols = [symbol for symbol in phoneme.ipa if symbol in LIPS]
        for symbol, start, end in _spread(symbols, phoneme, long=_LONG in phoneme.ipa):
            first, last = (round(t * COLUMNS_PER_SECOND) for t in (start, end))
            opening[first:last], width[first:last] = LIPS[symbol]
            speech[first:last] = 1
            closure[first:last] = symbol in BILABIAL
    smooth = _smooth(opening, sigma=2.2)
    return MouthCurves(smooth * (1 - _smooth(closure, sigma=1.0)) ** 2, closure, _smooth(width, 3.0), speech)


def _spread(symbols: list[str], phoneme: Phoneme, *, long: bool) -> list[tuple[str, float, float]]:
    """Each symbol's share of the phoneme's time; the first of a long one takes twice the share."""
    weights = np.array([2.0 if long and i == 0 else 1.0 for i in range(len(symbols))])
    edges = np.concatenate([[0.0], np.cumsum(weights)]) / max(weights.sum(), 1)
    times = phoneme.start_seconds + edges * (phoneme.end_seconds - phoneme.start_seconds)
    return [(symbol, times[i], times[i + 1]) for i, symbol in enumerate(symbols)]


def _smooth(curve: Array, sigma: float) -> Array:
    reach = int(3 * sigma + 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(curve, kernel / kernel.sum(), mode="same").astype(np.float32)
