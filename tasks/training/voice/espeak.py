"""Speech from espeak-ng with the time of every phoneme, through its C library; knows only text and sound.

Values of the interface are those of espeak-ng 1.51, `speak_lib.h`.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.mel import SAMPLE_RATE
from tasks.training.voice.phones import Phoneme

Array = NDArray[np.float32]

_SYNCHRONOUS: Final = 2
_PHONEME_EVENTS_IN_IPA: Final = 1 | 2
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8: Final = 1
_SSML: Final = 0x10
_PHONEME: Final = 7


class _Identity(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_int) for name in ("type", "unique", "text", "length", "milliseconds", "sample")),
        ("user", ctypes.c_void_p),
        ("id", _Identity),
    ]


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Utterance:
    """Spoken text and the phonemes in it."""

    samples: Array
    "(S,) 16 kHz mono"
    phonemes: tuple[Phoneme, ...]


@dataclass(frozen=True)
class Voice:
    """A voice of espeak-ng, e.g. `en-us+f3`, and how it speaks."""

    name: str
    words_per_minute: int = 160
    pitch: int = 50
    pitch_range: int = 50


def speak(text: str, voice: Voice) -> Utterance:
    """`text`, in which SSML marks are obeyed, spoken by `voice`.

    Raises: ValueError where espeak-ng has no such voice.
    """
    library, rate = _library()
    if library.espeak_SetVoiceByName(voice.name.encode()) != 0:
        raise ValueError(f"espeak-ng voice: found none named {voice.name!r}; see espeak-ng --voices")
    library.espeak_SetParameter(_RATE, voice.words_per_minute, 0)
    library.espeak_SetParameter(_PITCH, voice.pitch, 0)
    library.espeak_SetParameter(_RANGE, voice.pitch_range, 0)
    pieces, events = _collect(library, text)
    sound = np.concatenate([np.zeros(0, np.int16), *pieces]).astype(np.float32) / np.float32(32768)
    ends = [start for start, _ in events[1:]] + [len(sound) / rate]
    phonemes = (Phoneme(ipa, start, end) for (start, ipa), end in zip(events, ends, strict=False))
    return Utterance(resample(sound, rate, SAMPLE_RATE), tuple(phonemes))


def _collect(library: Any, text: str) -> tuple[list[NDArray[np.int16]], list[tuple[float, str]]]:
    pieces: list[NDArray[np.int16]] = []
    events: list[tuple[float, str]] = []

    def receive(sound: Any, count: int, event: Any) -> int:
        if sound:
            pieces.append(np.ctypeslib.as_array(sound, (count,)).copy() if count else np.zeros(0, np.int16))
        i = 0
        while event[i].type:
            if event[i].type == _PHONEME:
                ipa = bytes(event[i].id.string).split(b"\0")[0].decode(errors="ignore")
                events.append((event[i].milliseconds / 1000, ipa))
            i += 1
        return 0

    callback = _Callback(receive)  # must outlive the synthesis
    library.espeak_SetSynthCallback(callback)
    spoken = text.encode() + b"\0"
    library.espeak_Synth(spoken, len(spoken), 0, 1, 0, _UTF8 | _SSML, None, None)
    library.espeak_Synchronize()
    return pieces, events


@cache
def _library() -> tuple[Any, int]:
    library = ctypes.CDLL("libespeak-ng.so.1")
    rate = library.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS_IN_IPA)
    if rate <= 0:
        raise OSError("espeak-ng: could not be opened; install the espeak-ng package with its data")
    return library, rate


def resample(samples: Array, rate: int, wanted: int) -> Array:
    """`samples` at another rate, by its spectrum; for whole utterances."""
    count = round(len(samples) * wanted / rate)
    if count == 0 or rate == wanted:
        return samples[:count]
    spectrum = np.fft.rfft(samples, n=len(samples))
    kept = np.zeros(count // 2 + 1, spectrum.dtype)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    return (np.fft.irfft(kept, count) * (count / len(samples))).astype(np.float32)
