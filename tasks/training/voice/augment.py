"""What rooms, microphones and bystanders do to a voice, on samples; times never move, except by `pace`."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tasks.mel import SAMPLE_RATE

Array = NDArray[np.float32]
Rng = np.random.Generator


def augment(samples: Array, babble: Sequence[Array], rng: Rng) -> Array:
    """A disturbed copy of a voice, its times unchanged."""
    if rng.random() < 0.4:
        samples = reverberate(samples, rng)
    samples = equalise(samples, rng)
    if rng.random() < 0.55:
        samples = mix(samples, disturbance(len(samples), babble, rng), float(rng.uniform(3, 30)))
    if rng.random() < 0.2:
        samples = telephone(samples)
    gain = 10 ** (rng.uniform(-30, 3) / 20) / max(float(np.abs(samples).max()), 1e-6)
    return np.asarray(np.clip(samples * gain, -1, 1), np.float32)


def disturbance(count: int, babble: Sequence[Array], rng: Rng) -> Array:
    """Something that is not the voice: noise, hum, many voices, music."""
    kinds: tuple[Callable[[], Array], ...] = (
        lambda: noise(count, rng),
        lambda: noise(count, rng) + 2 * hum(count, rng),
        lambda: _babble(count, babble, rng),
        lambda: music(count, rng),
    )
    return kinds[int(rng.choice(4, p=[0.4, 0.1, 0.2, 0.3]))]()


def mix(voice: Array, other: Array, decibels: float) -> Array:
    """The voice over something else, `decibels` louder than it on average."""
    wanted = _power(voice) / 10 ** (decibels / 10)
    gain = np.sqrt(wanted / max(_power(other), 1e-12))
    return np.asarray(voice + other * gain, np.float32)


def reverberate(samples: Array, rng: Rng) -> Array:
    """The voice in a room: exponentially decaying noise behind the direct sound."""
    seconds = rng.uniform(0.08, 0.5)
    count = int(seconds * SAMPLE_RATE)
    tail = rng.standard_normal(count) * 10 ** (-3 * np.arange(count) / count)
    tail *= rng.uniform(0.1, 0.7) / np.linalg.norm(tail)
    tail[0] = 1
    size = _fast(len(samples) + count)
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(tail, size)
    return np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)


def equalise(samples: Array, rng: Rng) -> Array:
    """The voice through another microphone: a smooth gain of some +-8 dB over frequency."""
    knots = np.linspace(0, 1, 7)
    spectrum = np.fft.rfft(samples, _fast(len(samples)))
    gains = np.interp(np.linspace(0, 1, len(spectrum)) ** 0.5, knots, rng.normal(0, 4.5, 7))
    return np.fft.irfft(spectrum * 10 ** (gains / 20))[: len(samples)].astype(np.float32)


def telephone(samples: Array) -> Array:
    """300 to 3400 Hz, eight bits by the mu-law (ITU-T G.711)."""
    size = _fast(len(samples))
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    kept = (hertz >= 300) & (hertz <= 3400)
    narrow = np.fft.irfft(np.fft.rfft(samples, size) * kept)[: len(samples)]
    narrow /= max(float(np.abs(narrow).max()), 1e-6)
    code = np.round(127 * np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)) / 127
    return np.asarray(np.sign(code) * np.expm1(np.abs(code) * np.log(256)) / 255, np.float32)


def pace(samples: Array, factor: float) -> Array:
    """The recording played `factor` times faster, its pitch rising with it."""
    count = int(len(samples) / factor)
    return np.asarray(np.interp(np.arange(count) * factor, np.arange(len(samples)), samples), np.float32)


def noise(count: int, rng: Rng) -> Array:
    """Steady noise of a random colour, from white to brown."""
    spectrum = np.fft.rfft(rng.standard_normal(_fast(count)))
    spectrum /= np.maximum(np.arange(len(spectrum)), 50) ** rng.uniform(0, 1)
    return _unit(np.fft.irfft(spectrum)[:count])


def hum(count: int, rng: Rng) -> Array:
    """Mains hum with overtones."""
    time = np.arange(count) / SAMPLE_RATE
    base = float(rng.choice([50, 60]))
    return _unit(sum(np.sin(2 * np.pi * base * k * time) / k for k in range(1, 8)))


def music(count: int, rng: Rng) -> Array:
    """Chords with overtones, struck in time, and a drum."""
    time = np.arange(count) / SAMPLE_RATE
    sound = np.zeros(count)
    beat = rng.uniform(0.25, 0.7)
    root = rng.uniform(80, 260)
    for start in np.arange(0, time[-1], beat):
        first = int(start * SAMPLE_RATE)
        after = time[: count - first]
        for semitones in rng.choice([0, 3, 4, 7, 9, 12, 16], size=3):
            hertz = root * 2 ** (semitones / 12)
            tone = sum(np.sin(2 * np.pi * hertz * k * after) / k**1.3 for k in range(1, 6))
            sound[first:] += tone * np.exp(-after / rng.uniform(0.1, 0.8))
        if rng.random() < 0.5:
            sound[first:] += 2 * rng.standard_normal(len(after)) * np.exp(-after / 0.03)
    return _unit(sound)


def _babble(count: int, voices: Sequence[Array], rng: Rng) -> Array:
    chosen = [voices[int(i)] for i in rng.integers(len(voices), size=int(rng.integers(3, 7)))]
    return _unit(sum(np.roll(np.resize(voice, count), int(rng.integers(count))) for voice in chosen))


def _power(samples: Array) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


def _unit(samples: object) -> Array:
    array = np.asarray(samples, np.float64)
    return (array / max(float(np.sqrt(np.mean(array**2))), 1e-9)).astype(np.float32)


def _fast(count: int) -> int:
    """An even length from `count` up for which the Fourier transform is quick."""
    return -(-count // 16384) * 16384
