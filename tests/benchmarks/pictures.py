"""Pictures that benchmarks render: moving texture with grain, a nearly still scene, a portrait that moves.

Each function gives `count` pictures as I420 planes in one array, (height * 3 / 2, width) uint8, always
the same for the same arguments.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

I420 = npt.NDArray[np.uint8]
_GRAIN_FIELDS = 16


def textured(width: int, height: int, count: int) -> Iterator[I420]:
    """Two layers of texture that drift apart, and grain: as dear to decode and encode as camera footage."""
    random = np.random.default_rng(1)
    far = _texture(random, width + 512, height + 512, (6, 20, 64, 200), 34)
    near = _texture(random, width + 512, height + 512, (8, 30, 90), 30)
    cover = _texture(random, width + 512, height + 512, (150,), 1.0) > 0.6
    chroma = [_texture(random, width // 2 + 256, height // 2 + 256, (16, 100), 14) for _ in range(2)]
    grain = _grain(random, width, height, 1.5)
    for i in range(count):
        x, y = _drift(i, 2.3, 1.1, 512), _drift(i, 0.9, 0.4, 512)
        u, v = _drift(i, 4.7, 2.0, 512), _drift(i, 1.7, 0.8, 512)
        window = near[v : v + height, u : u + width]
        luma = np.where(cover[v : v + height, u : u + width], window, far[y : y + height, x : x + width])
        planes = [c[y // 2 : y // 2 + height // 2, x // 2 : x // 2 + width // 2] for c in chroma]
        yield _i420(luma + 118 + grain[i % _GRAIN_FIELDS], planes)


def nearly_still(width: int, height: int, count: int) -> Iterator[I420]:
    """A texture at rest with one square that wanders: cheap, for runs where only memory or bytes count."""
    random = np.random.default_rng(2)
    luma = _texture(random, width, height, (8, 40, 160), 30) + 118
    chroma = [_texture(random, width // 2, height // 2, (60,), 12) for _ in range(2)]
    side = height // 6
    for i in range(count):
        picture = luma.copy()
        x, y = _drift(i, 5, 0, width - side), _drift(i, 2, 0, height - side)
        picture[y : y + side, x : x + side] = 128 + 60 * math.sin(i / 9)
        yield _i420(picture, chroma)


def moving_portrait(photo: Path, width: int, height: int, count: int) -> Iterator[I420]:
    """The photo over its own blurred enlargement, slowly turned, moved and zoomed, with sensor noise."""
    import cv2

    picture = cv2.imread(str(photo), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(f"{photo}: no picture that OpenCV reads")
    grain = _grain(np.random.default_rng(3), width, height, 1.6)
    side = picture.shape[0]
    back = cv2.GaussianBlur(cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC), (0, 0), 25)
    for i in range(count):
        degrees = 3.5 * math.sin(i / 41)
        scale = height / side * (1.0 + 0.05 * math.sin(i / 67))
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, scale)
        turn[0, 2] += width / 2 - side / 2 + 0.03 * width * math.sin(i / 53)
        turn[1, 2] += height / 2 - side / 2 + 0.02 * height * math.sin(i / 37)
        shown = back.copy()
        cv2.warpAffine(picture, turn, (width, height), shown, cv2.INTER_CUBIC, borderMode=cv2.BORDER_TRANSPARENT)
        planes = cv2.cvtColor(shown, cv2.COLOR_BGR2YUV_I420)
        planes[:height] = np.clip(planes[:height] + grain[i % _GRAIN_FIELDS], 16, 235)
        yield planes


def _texture(
    random: np.random.Generator, width: int, height: int, scales: tuple[int, ...], amplitude: float
) -> npt.NDArray[np.float32]:
    """(height, width) smooth noise of several sizes, with the given standard deviation, mean 0."""
    import cv2

    total = np.zeros((height, width), np.float32)
    for scale in scales:
        small = random.normal(0, 1, (height // scale + 3, width // scale + 3)).astype(np.float32)
        total += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) * math.sqrt(scale)
    return (total - total.mean()) * (amplitude / max(float(total.std()), 1e-6))


def _grain(random: np.random.Generator, width: int, height: int, sigma: float) -> npt.NDArray[np.int16]:
    """(16, height, width) sensor noise."""
    fields = random.normal(0, sigma, (_GRAIN_FIELDS, height, width))
    return np.rint(fields).astype(np.int16)


def _drift(i: int, speed: float, sway: float, span: int) -> int:
    """A place in [0, span) that moves to and fro."""
    at = (i * speed + 40 * sway * math.sin(i / 23)) % (2 * span)
    return int(min(at if at < span else 2 * span - at, span - 1))


def _i420(luma: npt.NDArray[np.floating], chroma: list[npt.NDArray[np.float32]]) -> I420:
    height, width = luma.shape
    planes = np.empty((height * 3 // 2, width), np.uint8)
    planes[:height] = np.clip(luma, 16, 235)
    planes[height:] = np.clip(np.stack(chroma) + 128, 16, 240).reshape(height // 2, width)
    return planes
