"""Points over time without jitter: zero-phase, so nothing comes late; pure numpy, one run at a time.

A run is a stretch of one face in one shot without a gap.  Where the face moves, little is
smoothed; where it rests, much (the idea of the one-euro filter, Casiez et al., CHI 2012, made
symmetric in time).  Head movement and the face's own shape are smoothed apart.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.faces import points as face

Complex = NDArray[np.complex128]


@dataclass(frozen=True)
class Smoothing:
    """Gaussians for rest and for movement, and the change that counts as half a movement."""

    rest_seconds: float
    move_seconds: float
    change: float


#: Changes count in outer-eye distances (head: also radians and log size).
HEAD: Final = Smoothing(rest_seconds=0.12, move_seconds=0.02, change=0.01)
SHAPE: Final = Smoothing(rest_seconds=0.09, move_seconds=0.014, change=0.005)


def smoothed(points: NDArray[np.float32], frames_per_second: float) -> NDArray[np.float32]:
    """Points (T, 51, 2) of one run, smoothed forwards and backwards alike."""
    if len(points) < 3:
        return points
    z: Complex = points[..., 0].astype(np.complex128) + 1j * points[..., 1]
    size = float(np.median(np.abs(z[:, 50] - z[:, 47])))
    middle, pose, shape = _apart(np.asarray(z / max(size, 1e-3), np.complex128))
    middle = _adaptive(middle, HEAD, frames_per_second)
    pose = _adaptive(pose, HEAD, frames_per_second)
    shape = _adaptive(shape, SHAPE, frames_per_second)
    out = (middle + np.exp(pose) * shape) * max(size, 1e-3)
    return np.stack((out.real, out.imag), -1).astype(np.float32)


def _apart(z: Complex) -> tuple[Complex, Complex, Complex]:
    """Middle (T, 1), pose (T, 1) and shape (T, 51) with z = middle + e**pose * shape."""
    middle = z.mean(1, keepdims=True)
    centred = z - middle
    mean = centred[0]
    for _ in range(3):
        turn = (centred * mean.conj()).sum(1, keepdims=True)
        mean = (centred * (turn.conj() / np.maximum(np.abs(turn), 1e-9))).mean(0)
    pose = (centred * mean.conj()).sum(1, keepdims=True) / max(float((np.abs(mean) ** 2).sum()), 1e-9)
    log = np.log(np.maximum(np.abs(pose), 1e-6)) + 1j * np.unwrap(np.angle(pose), axis=0)
    return middle, log, centred / np.exp(log)


def _adaptive(x: Complex, how: Smoothing, frames_per_second: float) -> Complex:
    rest = gaussian(x, how.rest_seconds * frames_per_second)
    move = gaussian(x, how.move_seconds * frames_per_second)
    change = _pooled(np.abs(move - rest) ** 2) / how.change**2
    moving = gaussian(change**2 / (1 + change**2), how.move_seconds * frames_per_second)
    return np.asarray(rest + moving * (move - rest), np.complex128)


def _pooled(change: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared change (T, 51), each point's the mean of its group: lips move together, noise does not."""
    if change.shape[1] != face.POINTS:
        return change
    out = change.copy()
    for group in (face.LIPS, face.JAW, face.NOSE, face.EYE_CORNERS):
        out[:, group] = change[:, group].mean(1, keepdims=True)
    return out


def gaussian(x: NDArray[Any], sigma_frames: float) -> NDArray[Any]:
    """x (T, ...) convolved along time with a Gaussian; ends continue point-mirrored, so lines stay lines."""
    if sigma_frames < 0.2 or len(x) < 2:
        return x
    reach = min(int(np.ceil(3 * sigma_frames)), len(x) - 1)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_frames) ** 2)
    kernel /= kernel.sum()
    before = 2 * x[:1] - x[reach:0:-1]
    after = 2 * x[-1:] - x[-2 : -reach - 2 : -1]
    padded = np.concatenate((before, x, after))
    out = np.zeros_like(x)
    for weight, start in zip(kernel, range(2 * reach + 1), strict=True):
        out = out + weight * padded[start : start + len(x)]
    return out
