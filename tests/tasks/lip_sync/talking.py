"""A voice of vowels and pauses that are known to the test, and the face that goes with it; nothing is downloaded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.faces.measure import FrameFaces, measurements, measurements_to_arrays
from tasks.faces.portraits import portraits_to_arrays
from tasks.lip_sync.candidates import candidates_to_arrays
from tasks.lip_sync.occlusion.surface import SurfaceKeeper, surfaces_to_arrays
from tasks.mel import SAMPLE_RATE
from tasks.task import UnitMeasurement
from tests.tasks.lip_sync.faces import PORTRAIT_POINTS, closed_points, measured

#: Harmonics of 120 Hz in the upper two formants.
HIGH = range(8, 28)


@dataclass(frozen=True)
class Talk:
    """Vowels of random length and strength, one value a millisecond."""

    opening: NDArray[np.float64]
    "0 closed .. 1 wide open"

    def at(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.interp(seconds * 1000, np.arange(len(self.opening)), self.opening, left=0, right=0)

    def samples(self) -> NDArray[np.float32]:
        """The same at 16 kHz: a buzz with three formants, the first the higher and all the louder the wider."""
        seconds = np.arange(len(self.opening) * SAMPLE_RATE // 1000, dtype=np.float32) / SAMPLE_RATE
        wide = self.at(seconds).astype(np.float32)
        phase = (120 * (seconds + np.float32(0.001) * np.sin(3 * seconds))) % 1
        high = [(n, np.exp(-(((120 * n - 1400) / 200) ** 2)) + np.exp(-(((120 * n - 2600) / 300) ** 2))) for n in HIGH]
        turn = np.linspace(0, 2 * np.pi, 512)
        table = sum(0.5 * gain * np.sin(n * turn) for n, gain in high)
        buzz = table[(phase * 511).astype(np.int64)]
        for n in range(2, 9):
            gain = np.exp(-(((120 * n - 300 - 500 * wide) / 120) ** 2))
            buzz = buzz + gain * np.sin(np.float32(2 * np.pi * n) * phase)
        noise = np.random.default_rng(0).standard_normal(len(wide), np.float32) * 1e-3
        return np.asarray(0.2 * buzz * wide + noise, np.float32)


def talk(seconds: float, seed: int = 0) -> Talk:
    """Some three vowels a second, now and then a pause."""
    rng = np.random.default_rng(seed)
    opening = np.zeros(int(seconds * 1000))
    at = 0
    while at < len(opening):
        length = int(rng.uniform(140, 420))
        if rng.random() < 0.8:
            shape = np.sin(np.linspace(0, np.pi, length)) * rng.uniform(0.4, 1.0)
            opening[at : at + length] = shape[: len(opening) - at]
        at += length
    return Talk(opening)


def seen_talking(said: Talk, seconds: NDArray[np.float64]) -> UnitMeasurement:
    """What a scan measures of a portrait that says it, in pictures shown at `seconds`."""
    closed = closed_points(PORTRAIT_POINTS)
    faces = [measured(closed + (PORTRAIT_POINTS - closed) * (2.0 * wide)) for wide in said.at(seconds)]
    run = measurements([FrameFaces((face,)) for face in faces])
    nothing = candidates_to_arrays([]) | surfaces_to_arrays(SurfaceKeeper().kept()) | portraits_to_arrays([])
    return UnitMeasurement(0, len(seconds), measurements_to_arrays(run) | nothing)
