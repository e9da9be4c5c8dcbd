"""Why a frame of a track is left as the source has it: a reason per frame, which others count."""

from collections import Counter
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from tasks.faces.smooth import gaussian
from tasks.faces.tracks import FaceTrack

Reason = Literal["no face", "profile", "too small", "hidden"]
#: Frames that a hand takes on its way to a mouth, and from it: four to five at 25 a second, as drawn ones went.
COMES_IN_FRAMES: Final = 4
#: What the codes mean; 0 is a frame to work on.
REASONS: Final[tuple[Reason | None, ...]] = (None, "no face", "profile", "too small", "hidden")


@dataclass(frozen=True)
class Limits:
    """Beyond these a frame keeps its source pixels."""

    yaw: float = 0.62
    "of FaceMeasurement.yaw, either way"
    size_pixels: float = 16.0
    "least outer-eye distance"
    hidden: float = 0.6
    presence: float = 0.5


def reasons(track: FaceTrack, limits: Limits = Limits()) -> NDArray[np.uint8]:
    """(T,) codes of REASONS for each frame of a track; the first that applies in the order of REASONS."""
    codes = np.zeros(len(track.valid), np.uint8)
    codes[_coming_and_going(_steadily(track.hidden, track.measured) > limits.hidden)] = REASONS.index("hidden")
    codes[track.size_pixels < limits.size_pixels] = REASONS.index("too small")
    codes[np.abs(track.yaw) > limits.yaw] = REASONS.index("profile")
    lost = ~track.valid | (track.measured & (track.presence < limits.presence))
    codes[lost] = REASONS.index("no face")
    return codes


def _steadily(values: NDArray[np.float32], measured: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Values without single-frame flicker, so that a face is not left and taken up again at once."""
    weight = gaussian(measured.astype(np.float32), 1.5)
    mean = gaussian(np.where(measured, values, 0).astype(np.float32), 1.5) / np.maximum(weight, 1e-3)
    return np.asarray(mean, np.float32)


def _coming_and_going(hidden: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """With the frames beside those that are hidden: a hand lies before half a mouth before it is seen to hide it."""
    reach = np.concatenate([np.zeros(COMES_IN_FRAMES, np.bool_), hidden, np.zeros(COMES_IN_FRAMES, np.bool_)])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(reach, 2 * COMES_IN_FRAMES + 1).any(1))


def counted(codes: NDArray[np.uint8]) -> dict[str, int]:
    """How many frames each reason holds, those without one left out."""
    names = Counter(REASONS[int(code)] for code in codes)
    return {name: names[name] for name in REASONS if name is not None and names[name]}
